use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use domain::id::TenantId;

use super::{Root, RootError, check};
use crate::port::{InstallationKey, KeyName};

const NAME: KeyName = KeyName::Installation(InstallationKey::Master);

#[test]
fn the_file_is_made_once_and_only_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    let first = Root::open_or_create(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.len(), 65);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");

    let second = Root::open_or_create(&path).unwrap();
    let from_setting = Root::from_hex(&text, "a setting").unwrap();
    let wrapped = first.wrap(NAME, b"a key");
    for root in [second, from_setting] {
        assert_eq!(root.unwrap(NAME, &wrapped).unwrap().as_slice(), b"a key");
    }
}

#[test]
fn processes_that_start_at_once_agree_on_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    let starters: Vec<_> = (0..16)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || Root::open_or_create(&path).unwrap())
        })
        .collect();
    let roots: Vec<_> = starters.into_iter().map(|it| it.join().unwrap()).collect();
    let wrapped = roots[0].wrap(NAME, b"a key");
    assert!(roots.iter().all(|it| it.unwrap(NAME, &wrapped).is_some()));
}

#[test]
fn a_file_open_to_others_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    Root::open_or_create(&path).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o644] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let error = Root::open_or_create(&path).unwrap_err();
        assert!(matches!(error, RootError::Mode { mode: it, .. } if it == mode), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    Root::open_or_create(&path).unwrap();
}

#[test]
fn a_file_of_another_user_is_refused() {
    let error = check(Path::new("root.key"), 0o100_600, 1, 1_000).unwrap_err();
    assert!(matches!(error, RootError::Owner { owner: 1, expected: 1_000, .. }), "{error}");
    check(Path::new("root.key"), 0o100_600, 1_000, 1_000).unwrap();
}

#[test]
fn anything_but_64_hex_digits_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    Root::open_or_create(&path).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in ["", "abc", &good[1..], &good.replace(|it: char| it.is_ascii_digit(), "g")] {
        std::fs::write(&path, bad).unwrap();
        let error = Root::open_or_create(&path).unwrap_err();
        assert!(matches!(error, RootError::Malformed { .. }), "{bad:?}: {error}");
    }
    std::fs::write(&path, good.repeat(10)).unwrap();
    assert!(Root::open_or_create(&path).is_err());
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let error = Root::open_or_create(Path::new("/no/such/folder/root.key")).unwrap_err();
    assert!(error.to_string().contains("/no/such/folder/root.key"), "{error}");
}

#[test]
fn a_wrapped_key_opens_only_under_its_root_and_its_name() {
    let root = Root::from_bytes(&[1; 32].into());
    let wrapped = root.wrap(NAME, b"a key");
    assert!(root.unwrap(NAME, &wrapped).is_some());
    assert!(Root::from_bytes(&[2; 32].into()).unwrap(NAME, &wrapped).is_none());
    assert!(root.unwrap(KeyName::Tenant(TenantId::SYSTEM), &wrapped).is_none());
    for byte in 0..wrapped.0.len() {
        let mut changed = wrapped.clone();
        changed.0[byte] ^= 1;
        assert!(root.unwrap(NAME, &changed).is_none(), "byte {byte}");
    }
    for length in 0..wrapped.0.len() {
        let mut cut = wrapped.clone();
        cut.0.truncate(length);
        assert!(root.unwrap(NAME, &cut).is_none(), "cut to {length}");
    }
}

#[test]
fn it_never_shows_itself() {
    assert_eq!(format!("{:?}", Root::from_bytes(&[1; 32].into())), "Root(Cipher(…))");
}
