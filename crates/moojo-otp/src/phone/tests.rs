use proptest::prelude::*;

use super::*;

fn e164(text: &str) -> Result<String, InvalidPhoneNumber> {
    text.parse::<PhoneNumber>().map(|phone| phone.e164().to_owned())
}

#[test]
fn the_documented_example_is_accepted() {
    assert_eq!(e164("+1(555)987-6543").unwrap(), "+15559876543");
}

#[test]
fn what_people_type_is_read() {
    for text in [
        "+15559876543",
        " +1 (555) 987-6543\n",
        "+1.555.987.6543",
        "+1 555 987\u{2013}6543",
        "+1/555/987/6543",
        "\u{202a}+1 555\u{a0}987 6543\u{202c}",
        "＋１（５５５）９８７－６５４３",
        "+١٥٥٥٩٨٧٦٥٤٣",
        "(+1) 555 987 6543",
    ] {
        assert_eq!(e164(text).as_deref(), Ok("+15559876543"), "{text}");
    }
    assert_eq!(e164("+39 06 1234 5678").unwrap(), "+390612345678");
    assert_eq!(e164("+683 4002").unwrap(), "+6834002");
}

#[test]
fn what_is_no_number_is_refused_by_name() {
    use InvalidPhoneNumber as Why;
    for (text, why) in [
        ("", Why::Empty),
        (" + ", Why::Empty),
        ("()", Why::Empty),
        ("5559876543", Why::NoCallingCode),
        ("0015559876543", Why::NoCallingCode),
        ("+1 800 FLOWERS", Why::IllegalCharacter),
        ("+15559876543 ext. 5", Why::IllegalCharacter),
        ("+15559876543x5", Why::IllegalCharacter),
        ("+15559876543;ext=5", Why::IllegalCharacter),
        ("+15559876543#5", Why::IllegalCharacter),
        ("+1555+9876543", Why::IllegalCharacter),
        ("+15559876543\u{0}", Why::IllegalCharacter),
        ("+0123456789", Why::UnknownCallingCode),
        ("+1555", Why::TooShort),
        ("+1 555 987 6543 1234 567", Why::TooLong),
        ("+1555987654321012", Why::TooLong),
    ] {
        assert_eq!(e164(text), Err(why), "{text}");
    }
    assert_eq!(e164(&format!("+1{}555", " ".repeat(100_000))), Err(Why::TooLong));
}

#[test]
fn calling_codes_lengths_and_trunk_prefixes_are_known() {
    use InvalidPhoneNumber as Why;
    assert_eq!(e164("+44 (0)20 7946 0958").unwrap(), "+442079460958");
    assert_eq!(e164("+49 (0)30 123456").unwrap(), "+4930123456");
    assert_eq!(e164("+91 098765 43210").unwrap(), "+919876543210");
    assert_eq!(e164("+36 06 20 123 4567").unwrap(), "+36201234567");
    assert_eq!(e164("+1 1 555 987 6543").unwrap(), "+15559876543");
    // Zeros and eights that are a part of the number.
    assert_eq!(e164("+225 01 23 45 67 89").unwrap(), "+2250123456789");
    assert_eq!(e164("+7 800 123 45 67").unwrap(), "+78001234567");
    assert_eq!(e164("+7 8 912 345 67 89").unwrap(), "+79123456789");
    assert_eq!(e164("+999123456789"), Err(Why::UnknownCallingCode));
    assert_eq!(e164("+1 555 987 65"), Err(Why::TooShort));
    assert_eq!(e164("+1 555 987 65432"), Err(Why::TooLong));
    assert_eq!(e164("+44 12 34 56 78"), Err(Why::WrongLength));
}

#[test]
fn national_forms_are_read_in_a_region() {
    let read =
        |text, region| PhoneNumber::parse_in(text, region).map(|phone| phone.e164().to_owned());
    assert_eq!(read("(555) 987-6543", "US").unwrap(), "+15559876543");
    assert_eq!(read("1-555-987-6543", "US").unwrap(), "+15559876543");
    assert_eq!(read("020 7946 0958", "gb").unwrap(), "+442079460958");
    assert_eq!(read("0171 1234567", "DE").unwrap(), "+491711234567");
    assert_eq!(read("06 1234 5678", "IT").unwrap(), "+390612345678");
    assert_eq!(read("8 912 345-67-89", "RU").unwrap(), "+79123456789");
    assert_eq!(read("800 123-45-67", "RU").unwrap(), "+78001234567");
    assert_eq!(read("098765 43210", "IN").unwrap(), "+919876543210");
    assert_eq!(read("011 49 30 123456", "US").unwrap(), "+4930123456");
    assert_eq!(read("+49 30 123456", "US").unwrap(), "+4930123456");
    for region in ["XX", "AR", "", "USA", "é"] {
        assert_eq!(read("030 123456", region), Err(InvalidPhoneNumber::UnknownRegion));
    }
    assert_eq!(read("1", "US"), Err(InvalidPhoneNumber::TooShort));
    assert_eq!(read("00", "DE"), Err(InvalidPhoneNumber::UnknownCallingCode));
}

#[test]
fn numbers_are_equal_by_e164() {
    let a: PhoneNumber = "+1(555)987-6543".parse().unwrap();
    let b: PhoneNumber = "+15559876543".parse().unwrap();
    assert_eq!(a, b);
    assert_ne!(a.as_typed(), b.as_typed());
}

#[test]
fn what_is_kept_comes_back() {
    let phone: PhoneNumber = "+1 (555) 987-6543".parse().unwrap();
    assert_eq!(phone.kept(false).as_str(), "+15559876543");
    assert_eq!(phone.kept(true).as_str(), "+15559876543 +1 (555) 987-6543");
    for typed in [true, false] {
        let back = PhoneNumber::from_kept(&phone.kept(typed)).unwrap();
        assert_eq!(back, phone);
        assert_eq!(back.as_typed() == phone.as_typed(), typed);
    }
    for bad in ["", "+", "15559876543", "+1555x"] {
        assert!(PhoneNumber::from_kept(bad).is_none());
    }
}

#[test]
fn rule_13_debug_and_display_hide_the_number() {
    let phone: PhoneNumber = "+1(555)987-6543".parse().unwrap();
    assert_eq!(format!("{phone:?}"), "PhoneNumber(+1••••••••43)");
    assert_eq!(phone.to_string(), "+1••••••••43");
}

proptest! {
    #[test]
    fn no_text_panics_in_a_region(text in "[+0-9]{0,24}", region in "[A-Z]{2}") {
        let _ = PhoneNumber::parse_in(&text, &region);
    }

    #[test]
    fn no_text_panics_and_what_is_read_is_e164(text in "\\PC{0,40}|[+0-9() -]{0,24}") {
        if let Ok(phone) = text.parse::<PhoneNumber>() {
            let digits = phone.e164().strip_prefix('+').unwrap();
            prop_assert!((5..=15).contains(&digits.len()));
            prop_assert!(digits.bytes().all(|byte| byte.is_ascii_digit()));
            prop_assert_eq!(phone.e164().parse::<PhoneNumber>().unwrap(), phone);
        }
    }
}
