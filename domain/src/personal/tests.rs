use super::*;

fn personal(digest: u8, content: Content) -> Personal {
    Personal { subject: SubjectId::from_digest([1; 16]), digest: Digest([digest; 16]), content }
}

#[test]
fn is_stored_sealed_and_read_back_sealed() {
    let sealed = personal(2, Content::Sealed(Box::new([0x00, 0xff, 0x10])));
    let json = serde_json::to_string(&sealed).unwrap();
    assert_eq!(
        json,
        r#"{"subject":"sbj_01010101010181018101010101010101","digest":"02020202020202020202020202020202","sealed":"00ff10"}"#
    );
    let read: Personal = serde_json::from_str(&json).unwrap();
    assert_eq!(read, sealed);
    assert!(matches!(read.content, Content::Sealed(bytes) if *bytes == [0x00, 0xff, 0x10]));
}

#[test]
fn is_never_stored_in_the_clear_or_shown_in_a_log() {
    let plain = personal(2, Content::Plain("Ada Lovelace".to_owned()));
    assert!(serde_json::to_string(&plain).is_err());
    assert!(!format!("{plain:?}").contains("Ada"));
}

#[test]
fn is_compared_by_subject_and_digest_only() {
    let plain = personal(2, Content::Plain("Ada".to_owned()));
    assert_eq!(plain, personal(2, Content::Sealed(Box::new([1]))));
    assert_ne!(plain, personal(3, Content::Plain("Ada".to_owned())));
    let other = Personal { subject: SubjectId::from_digest([9; 16]), ..plain.clone() };
    assert_ne!(plain, other);
}

#[test]
fn a_digest_is_32_hex_digits() {
    let digest = Digest([0xa0; 16]);
    assert_eq!("a0".repeat(16).parse(), Ok(digest));
    for text in ["", "a0", &"a0".repeat(17), &"g0".repeat(16), &"ä".repeat(16)] {
        let error = text.parse::<Digest>().unwrap_err();
        assert_eq!(error.to_string(), format!("expected 32 hex digits, got `{text}`"));
    }
}
