//! A vector in pages: it grows and shrinks by one page at a time, so that no push copies all that
//! is there and no room is kept for as much again.

use std::ops::{Index, IndexMut};

/// Items of a page.
const PAGE: usize = 1024;

pub(super) struct Pages<T> {
    /// All but the last are full, and the last one is not empty.
    pages: Vec<Vec<T>>,
}

impl<T> Pages<T> {
    pub(super) fn len(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    pub(super) fn push(&mut self, item: T) {
        match self.pages.last_mut() {
            Some(last) if last.len() < PAGE => last.push(item),
            // A few users do not take a whole page; more than one page is made in its full size.
            None => self.pages.push(vec![item]),
            Some(_) => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(item);
                self.pages.push(page);
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let last = self.pages.last_mut()?;
        let item = last.pop();
        if last.is_empty() {
            self.pages.pop();
            if self.pages.len() < self.pages.capacity() / 4 {
                self.pages.shrink_to_fit();
            }
        }
        item
    }

    /// Removes an item, whose place the last one takes.
    pub(super) fn swap_remove(&mut self, index: usize) {
        let last = self.pop();
        if let Some(last) = last.filter(|_| index < self.len()) {
            self[index] = last;
        }
    }

    /// For how many items there is room.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.pages.iter().map(Vec::capacity).sum()
    }
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> Index<u32> for Pages<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        &self[index as usize]
    }
}

impl<T> IndexMut<u32> for Pages<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self[index as usize]
    }
}

impl<T> Index<usize> for Pages<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.pages[index / PAGE][index % PAGE]
    }
}

impl<T> IndexMut<usize> for Pages<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.pages[index / PAGE][index % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_a_vector_holds_across_pages() {
        let (mut pages, mut vector) = (Pages::default(), Vec::new());
        let same = |pages: &Pages<usize>, vector: &[usize]| {
            pages.len() == vector.len() && (0..vector.len()).all(|at| pages[at] == vector[at])
        };
        for number in 0..3 * PAGE + 1 {
            pages.push(number);
            vector.push(number);
        }
        assert!(same(&pages, &vector));
        for number in 0..2 * PAGE + 2 {
            let index = number * 7919 % vector.len();
            pages.swap_remove(index);
            vector.swap_remove(index);
        }
        assert!(same(&pages, &vector));
        assert_eq!(pages.capacity(), PAGE);
        while let Some(last) = vector.pop() {
            assert_eq!(pages.pop(), Some(last));
        }
        assert_eq!((pages.pop(), pages.len(), pages.capacity()), (None, 0, 0));
    }
}
