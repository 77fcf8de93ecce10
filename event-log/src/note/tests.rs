use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::{NOTE_BYTES_MAX, Note, NoteError, Signer, VerifierKey};
use crate::identity::hex;

/// The signer of this name whose key comes from this seed.
pub(crate) fn signer(name: &str, seed: u8) -> Signer {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public = pair.public_key().as_ref().try_into().unwrap();
    let key = VerifierKey::new(name, public).unwrap();
    Signer::new(key, move |text| pair.sign(text).as_ref().try_into().unwrap())
}

/// The example of the specification, whose key other tools publish with it.
#[test]
fn a_note_that_others_have_signed_is_verified() {
    let note = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let key: VerifierKey = key.parse().unwrap();
    let note = Note::parse(note.as_bytes()).unwrap();
    assert_eq!(note.verify(&[key]), Ok(()));
}

#[test]
fn whoever_has_signed_stands_for_the_text_and_nobody_else() {
    let (one, other) = (signer("example.com/log", 1), signer("example.com/log", 2));
    let text = "one\n\ntwo\n";
    let signed = one.note(text);
    let note = Note::parse(signed.as_bytes()).unwrap();
    assert_eq!(note.text(), text);
    assert_eq!(note.verify(&[other.key().clone(), one.key().clone()]), Ok(()));
    assert_eq!(note.verify(&[other.key().clone()]), Err(NoteError::Unsigned));
    assert_eq!(note.verify(&[]), Err(NoteError::Unsigned));
    let changed = signed.replace("two", "too");
    let changed = Note::parse(changed.as_bytes()).unwrap().verify(&[one.key().clone()]);
    assert_eq!(changed, Err(NoteError::Forged("example.com/log".to_owned())));
    let cosigned = format!("{signed}{}", other.note(text).rsplit_once("\n\n").unwrap().1);
    let cosigned = Note::parse(cosigned.as_bytes()).unwrap();
    assert_eq!(cosigned.verify(&[other.key().clone()]), Ok(()), "a witness may sign it too");
}

#[test]
fn a_verifier_key_is_read_as_it_is_written_and_in_no_other_way() {
    let key = signer("example.com/log", 1).key().clone();
    let text = key.to_string();
    assert_eq!(text.parse(), Ok(key.clone()));
    let id = key.id();
    let wrong_id = text.replace(&id, &hex(&[0; 4]));
    let upper = text.replace(&id, &id.to_uppercase());
    let longer = format!("{text}AA");
    for wrong in ["", "a", "a+b", "a+b+c", &text[1..].replace('+', "-"), &wrong_id, &upper, &longer]
    {
        assert!(wrong.parse::<VerifierKey>().is_err(), "{wrong}");
    }
    for name in ["", "two words", "a+b", "a\nb", "a\u{2003}b"] {
        assert_eq!(VerifierKey::new(name, [0; 32]), None, "{name:?}");
    }
}

#[test]
fn what_is_no_note_is_not_taken_for_one() {
    let good = signer("n", 1).note("text\n");
    let (text, signature) = good.rsplit_once("\n\n").unwrap();
    let many = format!("{text}\n\n{}", signature.repeat(101));
    let long = format!("{}\n{good}", "x".repeat(NOTE_BYTES_MAX));
    let wrong = [
        String::new(),
        text.to_owned(),
        good.trim_end().to_owned(),
        good.replace('\u{2014}', "-"),
        good.replace("text", "te\txt"),
        format!("{good}\n"),
        format!("{good}more\n"),
        format!("{text}\n\n\u{2014} n !!!!\n"),
        format!("{text}\n\n\u{2014} n AAA=\n"),
        many,
        long,
    ];
    for note in wrong {
        assert!(Note::parse(note.as_bytes()).is_err(), "{note:.60}");
    }
    assert!(Note::parse(&[0xff; 8]).is_err());
}
