use std::fs;

use super::*;

/// A repository with a file, a folder, a link inside and a link that leaves it.
fn repository_on_disk() -> (tempfile::TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("shop");
    fs::create_dir_all(root.join(".git")).unwrap();
    fs::create_dir_all(root.join("services/cart")).unwrap();
    fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    for file in ["catalog-info.yaml", "services/cart/catalog-info.yaml", "services/a.yaml"] {
        fs::write(root.join(file), "a: 1").unwrap();
    }
    std::os::unix::fs::symlink("../secret.txt", root.join("leaving.txt")).unwrap();
    std::os::unix::fs::symlink("services/a.yaml", root.join("staying.yaml")).unwrap();
    let cart = root.join("services/cart");
    let place = Place::file(&cart.join("catalog-info.yaml"), &cart).unwrap();
    (folder, place)
}

#[test]
fn a_file_refers_to_its_own_repository_only_links_included() {
    let (_folder, place) = repository_on_disk();
    assert_eq!(place.refer("../a.yaml").unwrap().to_string(), "services/a.yaml");
    assert_eq!(place.refer("../../staying.yaml").unwrap().to_string(), "services/a.yaml");
    for leaving in
        ["../../leaving.txt", "../../../secret.txt", "/etc/passwd", "https://example.com/x"]
    {
        let error = place.refer(leaving).unwrap_err();
        assert!(matches!(error, PlaceError::Outside(_)), "{leaving}: {error}");
    }
    assert!(matches!(place.refer("missing.yaml").unwrap_err(), PlaceError::Missing(_)));
}

#[test]
fn what_version_control_keeps_is_not_read() {
    let (folder, place) = repository_on_disk();
    let root = folder.path().join("shop");
    for control in [".git/config", ".hg/hgrc", "services/.svn/entries", "cart/.GIT/config"] {
        let file = root.join(control);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "token").unwrap();
        let error = place.refer(&format!("../../{control}")).unwrap_err();
        assert!(matches!(error, PlaceError::Control(_)), "{control}: {error}");
    }
    std::os::unix::fs::symlink(".git/config", root.join("config.txt")).unwrap();
    let error = place.refer("../../config.txt").unwrap_err();
    assert!(matches!(error, PlaceError::Control(_)), "{error}");
    let error = Place::file(&root.join(".git/config"), &root.join(".git")).unwrap_err();
    assert!(matches!(error, PlaceError::Control(_)), "{error}");
    // What only looks like it is read.
    fs::write(root.join(".gitlab.yaml"), "a: 1").unwrap();
    place.refer("../../.gitlab.yaml").unwrap();
}

#[test]
fn a_location_is_named_from_the_repository_down() {
    let (_folder, place) = repository_on_disk();
    let expected = "shop/services/cart/catalog-info.yaml".to_owned();
    assert_eq!(place.location(), (LocationKind::File, expected));
}

#[test]
fn the_digest_of_a_path_stays_what_it_is() {
    // From the vectors that were published with it.
    assert_eq!(digest(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(digest(b"foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn folders_of_one_name_outside_of_repositories_are_different_locations() {
    let folder = tempfile::tempdir().unwrap();
    let location = |path: &Path, root: &Path| Place::file(path, root).unwrap().location();
    let svc = |parent: &str| {
        let svc = folder.path().join(parent).join("svc");
        fs::create_dir_all(svc.join("below")).unwrap();
        fs::write(svc.join("a.yaml"), "a: 1").unwrap();
        fs::write(svc.join("below/a.yaml"), "a: 1").unwrap();
        svc
    };
    let (one, other) = (svc("one"), svc("other"));
    let all = [&one, &other].map(|it| location(&it.join("a.yaml"), it));
    assert_ne!(all[0], all[1]);
    let below = location(&one.join("below/a.yaml"), &one);
    assert_eq!(below, location(&one.join("below/a.yaml"), &one.join("below")), "asked otherwise");
    for (kind, target) in all.iter().chain([&below]) {
        kind.check(target).unwrap();
        assert!(!target.contains("one"), "`{target}` says nothing of the machine");
    }
}

#[test]
fn a_glob_finds_files_in_order_within_the_repository() {
    let (_folder, place) = repository_on_disk();
    let found = place.refer("../../catalog-info.yaml").unwrap().targets("services/**/*.yaml");
    let names: Vec<String> = found.iter().map(|it| it.as_ref().unwrap().to_string()).collect();
    assert_eq!(names, ["services/a.yaml", "services/cart/catalog-info.yaml"]);
    let found = place.targets("../../[cl]*");
    let [Ok(_), Err(PlaceError::Outside(leaving))] = &found[..] else { panic!("{found:?}") };
    assert!(leaving.ends_with("leaving.txt"), "{leaving}");
}

#[test]
fn an_address_refers_to_its_own_origin_and_repository_only() {
    let at = |text: &str| Place::Url(text.parse().unwrap());
    let place = at("https://raw.example.com/acme/shop/main/catalog-info.yaml");
    let next = at("https://raw.example.com/acme/shop/main/api.json");
    assert_eq!(place.refer("./api.json").unwrap(), next);
    for leaving in ["/other/repo/main/x", "https://evil.example.com/acme/shop/x", "//10.0.0.1/x"] {
        assert!(matches!(place.refer(leaving), Err(PlaceError::Outside(_))), "{leaving}");
    }
}
