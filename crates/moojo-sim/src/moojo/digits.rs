/// A phone number reduced to what tells numbers apart, however it was typed.
pub(crate) fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn the_documented_example_and_its_e164_form_are_one_number() {
        assert_eq!(digits("+1(555)987-6543"), digits("+15559876543"));
    }
}
