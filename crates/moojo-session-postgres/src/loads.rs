//! Loads of sessions: each by itself while there are few, many in one statement while there are many.

use std::sync::Arc;

use moojo_session::{Session, StoreError, StoreErrorKind, UserId};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::Row;

use crate::column;
use crate::error::no_answer;
use crate::link::Link;
use crate::sessions;

const ALONE: &str = "select session_id, body from {schema}.sessions where user_id = $1";

// However little the planner knows of the table, it looks each user up by itself in the index, or in
// the one page that there is.
const TOGETHER: &str = "
    select session_id, body, place
    from unnest($1::text[]) with ordinality as wanted (wanted_id, place)
    cross join lateral (
        select session_id, body from {schema}.sessions where user_id = wanted_id limit 1) as found";

/// A statement costs the server and both ends of the connection much more than a row does. So when
/// several loads are under way, those that come gather until the statement that is under way for
/// such as they are is answered, and then go out as one.
pub(crate) struct Loads {
    link: Arc<Link>,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    /// How many loads are under way that went out by themselves.
    alone: usize,
    /// Whether a task takes care of those who gather.
    is_served: bool,
    /// None of them is in a statement yet: what was saved before they came, they see.
    gathered: Vec<Waiting>,
}

struct Waiting {
    user: UserId,
    answer: oneshot::Sender<Answer>,
}

/// The user's row, if there is one.
type Answer = Result<Option<Row>, StoreError>;

impl Loads {
    /// So many go out by themselves, before others gather.
    const MOST_ALONE: usize = 4;
    /// In one statement.
    const MOST_TOGETHER: usize = 128;
    /// Those past it go out by themselves, and wait for a place on the connection (rule 12).
    const MOST_GATHERED: usize = 1024;

    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link, queue: Arc::default() }
    }

    /// The user's session, whether it has ended or not.
    pub(crate) async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        let limit = self.link.limit();
        match self.gather(user) {
            None => self.alone(user).await,
            Some(answer) => {
                let answered = async {
                    match answer.await {
                        Ok(Ok(row)) => session(row.as_ref(), user),
                        Ok(Err(error)) if error.kind() != StoreErrorKind::Corrupt => Err(error),
                        // The server cannot read a row, perhaps another's. Or nobody answers: the
                        // runtime that the statement was sent on has ended.
                        Ok(Err(_)) | Err(_) => self.alone(user).await,
                    }
                };
                timeout(limit, answered).await.map_err(|_| no_answer(limit))?
            }
        }
    }

    /// Adds the user to those who gather, unless few are under way.
    fn gather(&self, user: &UserId) -> Option<oneshot::Receiver<Answer>> {
        let mut queue = self.queue.lock();
        let is_quiet = !queue.is_served && queue.alone < Self::MOST_ALONE;
        if is_quiet || queue.gathered.len() >= Self::MOST_GATHERED {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        queue.gathered.push(Waiting { user: user.clone(), answer: sender });
        let is_served = std::mem::replace(&mut queue.is_served, true);
        drop(queue);
        if !is_served {
            let (link, queue) = (Arc::clone(&self.link), Arc::clone(&self.queue));
            tokio::spawn(Service { queue, is_over: false }.run(link));
        }
        Some(receiver)
    }

    async fn alone(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        let _counted = Counted::new(&self.queue);
        let rows = self.link.read(ALONE, &[&user.as_str()]).await?;
        session(rows.first(), user)
    }
}

fn session(row: Option<&Row>, user: &UserId) -> Result<Option<Session>, StoreError> {
    row.map(|row| sessions::read(row, user, 0, 1)).transpose()
}

/// A load that is under way by itself, until it is dropped.
struct Counted<'a>(&'a Mutex<Queue>);

impl<'a> Counted<'a> {
    fn new(queue: &'a Mutex<Queue>) -> Self {
        queue.lock().alone += 1;
        Self(queue)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.lock().alone -= 1;
    }
}

/// Takes care of those who gather, until there are none.
struct Service {
    queue: Arc<Mutex<Queue>>,
    is_over: bool,
}

impl Service {
    async fn run(mut self, link: Arc<Link>) {
        while let Some(together) = self.next() {
            let users: Vec<&str> = together.iter().map(|waiting| waiting.user.as_str()).collect();
            match link.read(TOGETHER, &[&users]).await.and_then(|rows| in_place(rows, users.len()))
            {
                Ok(rows) => {
                    // One that nobody waits for is of no use.
                    for (waiting, row) in together.into_iter().zip(rows) {
                        let _ = waiting.answer.send(Ok(row));
                    }
                }
                Err(error) => {
                    for waiting in together {
                        let _ = waiting.answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// The next to go out together, without those who have left.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue.lock();
        queue.gathered.retain(|waiting| !waiting.answer.is_closed());
        self.is_over = queue.gathered.is_empty();
        queue.is_served = !self.is_over;
        let count = queue.gathered.len().min(Loads::MOST_TOGETHER);
        (!self.is_over).then(|| queue.gathered.drain(..count).collect())
    }
}

/// If its runtime ends under it, those who gathered have nobody: they find that out.
impl Drop for Service {
    fn drop(&mut self) {
        if !self.is_over {
            let mut queue = self.queue.lock();
            queue.is_served = false;
            let gathered = std::mem::take(&mut queue.gathered);
            drop(queue);
            drop(gathered);
        }
    }
}

/// The rows in the order in which they were asked for, with nothing for whom there is none.
fn in_place(rows: Vec<Row>, count: usize) -> Result<Vec<Option<Row>>, StoreError> {
    let mut places: Vec<Option<Row>> = std::iter::repeat_with(|| None).take(count).collect();
    for row in rows {
        let place: i64 = column(&row, 2)?;
        let place = usize::try_from(place - 1).ok().and_then(|place| places.get_mut(place));
        *place.ok_or_else(|| StoreError::corrupt("a row that was not asked for"))? = Some(row);
    }
    Ok(places)
}
