use std::fs;

use outbound::{Limits, Reach};

use super::*;

async fn collected(files: &[(&str, &str)], sources: &[&str]) -> Result<Collected> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), text).unwrap();
    }
    let absolute = |it: &&str| folder.path().join(it).to_string_lossy().into_owned();
    let sources: Vec<String> = sources.iter().map(absolute).collect();
    collect(&sources, &Client::new(Reach::Public, Limits::default())).await
}

fn names(collected: &Collected) -> Vec<&str> {
    collected.found.iter().map(|it| it.descriptor["metadata"]["name"].as_str().unwrap()).collect()
}

const CART: &str = "kind: Component\nmetadata: {name: cart}\n";

#[tokio::test]
async fn locations_are_followed_once_each_however_they_refer_to_one_another() {
    let all = "kind: Location\nmetadata: {name: all}\nspec: {targets: [./*/*.yaml, ./all.yaml]}\n";
    let back = "kind: Location\nmetadata: {name: back}\nspec: {target: ../all.yaml}\n";
    let files = [("all.yaml", all), ("a/cart.yaml", CART), ("b/back.yaml", back)];
    let collected = collected(&files, &["all.yaml"]).await.unwrap();
    assert_eq!(names(&collected), ["all", "cart", "back"]);
    assert_eq!((collected.files, collected.rejected.len()), (3, 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_named_with_file_and_line_and_spoils_nothing() {
    let text = format!(
        "# first\n---\nkind: [\n---\n{CART}---\nkind: Location\nmetadata: {{name: l}}\nspec: {{target: ./gone.yaml}}\n"
    );
    let collected = collected(&[("x.yaml", &text)], &["x.yaml"]).await.unwrap();
    assert_eq!(names(&collected), ["cart", "l"]);
    let lines: Vec<usize> = collected.rejected.iter().map(|it| it.origin.line).collect();
    assert_eq!(lines, [3, 8]);
    assert!(collected.rejected[1].reason.contains("./gone.yaml"));
}

#[tokio::test]
async fn an_optional_location_may_be_missing() {
    let text =
        "kind: Location\nmetadata: {name: l}\nspec: {target: ./gone.yaml, presence: optional}\n";
    let collected = collected(&[("x.yaml", text)], &["x.yaml"]).await.unwrap();
    assert_eq!((collected.found.len(), collected.rejected.len()), (1, 0));
}

#[tokio::test]
async fn a_folder_stands_for_its_catalog_files_and_a_glob_for_what_it_matches() {
    let files = [("s/a.yaml", CART), ("s/.ci/b.yaml", CART), ("s/c.json", "{}"), ("s/d.yml", CART)];
    assert_eq!(collected(&files, &["s"]).await.unwrap().files, 2);
    assert_eq!(collected(&files, &["s/*.yml"]).await.unwrap().files, 1);
    let nothing = collected(&files, &["s/*.toml"]).await.unwrap_err();
    assert!(nothing.to_string().contains("names no file"), "{nothing}");
    assert_eq!(crate::failure::exit_code(&nothing), 2);
}

#[tokio::test]
async fn what_is_no_entity_is_skipped_in_a_folder_and_taken_for_one_where_it_is_named() {
    let files = [("s/openapi.yaml", "openapi: 3.1.0\n"), ("s/cart.yaml", CART)];
    let listed = collected(&files, &["s"]).await.unwrap();
    assert_eq!((listed.found.len(), listed.skipped.len()), (1, 1));
    let named = collected(&files, &["s/openapi.yaml"]).await.unwrap();
    assert_eq!((named.found.len(), named.skipped.len()), (1, 0));
}

#[tokio::test]
async fn a_link_that_leads_nowhere_or_away_is_named_and_spoils_nothing() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    fs::create_dir_all(shop.join("b")).unwrap();
    fs::write(folder.path().join("secret.yaml"), CART).unwrap();
    fs::write(shop.join("z.yaml"), CART).unwrap();
    symlink("../../secret.yaml", shop.join("b/away.yaml")).unwrap();
    symlink("gone.yaml", shop.join("nowhere.yaml")).unwrap();
    symlink("round.yaml", shop.join("round.yaml")).unwrap();
    let text = "kind: Location\nmetadata: {name: all}\nspec: {target: ./*.yaml}\n";
    fs::write(shop.join("all.yml"), text).unwrap();

    let client = Client::new(Reach::Public, Limits::default());
    let reasons = |collected: &Collected| -> Vec<(String, String)> {
        let rejected = collected.rejected.iter();
        rejected.map(|it| (it.origin.file.clone(), it.reason.clone())).collect()
    };
    let check = |collected: &Collected, expected: &[(&str, &str)]| {
        let reasons = reasons(collected);
        let fits = |((file, reason), (place, part)): (&(String, String), &(&str, &str))| {
            file == place && reason.contains(part)
        };
        let all = reasons.iter().zip(expected).all(fits);
        assert!(all && reasons.len() == expected.len(), "{reasons:?}");
    };
    let listed = collect(&[shop.display().to_string()], &client).await.unwrap();
    assert_eq!(names(&listed), ["all", "cart"]);
    let away = ("b/away.yaml", "is a link to what is outside its repository");
    let nowhere = ("nowhere.yaml", "does not exist");
    let round = ("round.yaml", "could not read");
    let target =
        [("all.yml", "target: `nowhere.yaml`"), ("all.yml", "could not read `round.yaml`")];
    check(&listed, &[away, nowhere, round, target[0], target[1]]);

    let glob = collect(&[format!("{}/*.yaml", shop.display())], &client).await.unwrap();
    assert_eq!(names(&glob), ["cart"]);
    check(&glob, &[nowhere, round]);
}

#[tokio::test]
async fn a_pipe_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let client = Client::new(Reach::Public, Limits::default());
    let collected = collect(&[folder.path().display().to_string()], &client).await.unwrap();
    assert_eq!(collected.rejected[0].reason, "`pipe.yaml` is not a file");
}
