//! Guards of `deploy/`: what can be said of its files where no container engine is.
//!
//! Each rule is a function from a text to its complaints, applied to the file and to a small
//! change of it that breaks the rule.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Installation, callboard};

const COMPOSE: &str = include_str!("../../deploy/compose.yaml");
const DOCKERFILE: &str = include_str!("../../deploy/Dockerfile");

/// The folder of the files.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn parsed(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("it is YAML")
}

/// The services by name.
fn services(compose: &Value) -> Vec<(&String, &Value)> {
    compose["services"].as_object().expect("there are services").iter().collect()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether `image` names a version, and nothing that moves.
fn is_pinned(image: &str) -> bool {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    tag != "latest" && tag.starts_with(|it: char| it.is_ascii_digit()) && tag.contains('.')
}

fn complaints(compose: &str) -> Vec<String> {
    let compose = parsed(compose);
    let mut all = Vec::new();
    for (name, service) in services(&compose) {
        let mut complain = |what: &str| all.push(format!("{name} {what}"));
        if !is_pinned(service["image"].as_str().unwrap_or_default()) {
            complain("has no version in its image");
        }
        let ends = service["restart"] == "no";
        if !ends && !service["healthcheck"]["test"].is_array() {
            complain("cannot be asked whether it is well");
        }
        let user = service["user"].as_str().unwrap_or_default();
        if user.is_empty() || user.starts_with("0:") || user == "root" {
            complain("runs as root");
        }
        let limits = &service["deploy"]["resources"]["limits"];
        if !["cpus", "memory", "pids"].iter().all(|it| !limits[*it].is_null()) {
            complain("has no limits");
        }
        if texts(&service["cap_drop"]) != ["ALL"] {
            complain("keeps capabilities");
        }
        for (key, value) in service["environment"].as_object().into_iter().flatten() {
            let secret = ["PASSWORD", "SECRET", "TOKEN", "URL"].iter().any(|it| key.contains(it));
            let value = value.as_str().unwrap_or_default();
            if (secret && !key.ends_with("_FILE")) || value.contains("password=") {
                complain(&format!("has a secret in {key}"));
            }
        }
        for port in texts(&service["ports"]) {
            if !port.starts_with("127.0.0.1:") {
                complain(&format!("is open to others at {port}"));
            }
        }
        all.extend(dangling(name, service, &compose));
    }
    all
}

/// What a service names and the file does not have.
fn dangling(name: &str, service: &Value, compose: &Value) -> Vec<String> {
    let has = |section: &str, key: &str| compose[section].get(key).is_some();
    let mut named = Vec::new();
    named.extend(texts(&service["secrets"]).into_iter().map(|it| ("secrets", it)));
    named.extend(texts(&service["networks"]).into_iter().map(|it| ("networks", it)));
    let configs = service["configs"].as_array().into_iter().flatten();
    named.extend(configs.filter_map(|it| Some(("configs", it["source"].as_str()?))));
    let volumes = texts(&service["volumes"]).into_iter();
    named.extend(volumes.filter_map(|it| Some(("volumes", it.split_once(':')?.0))));
    let others = service["depends_on"].as_object().into_iter().flatten();
    named.extend(others.map(|(key, _)| ("services", key.as_str())));
    named.retain(|(section, key)| !has(section, key));
    named
        .into_iter()
        .map(|(section, key)| format!("{name} names {key}, not in {section}"))
        .collect()
}

#[test]
fn compose_keeps_its_rules() {
    assert_eq!(complaints(COMPOSE), [""; 0]);
    let names: Vec<_> = parsed(COMPOSE)["services"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["kafka", "node-1", "node-2", "postgresql", "setup"]);
}

#[test]
fn whatever_breaks_a_rule_of_compose_is_found() {
    for (good, bad, complaint) in [
        ("apache/kafka:4.4.0", "apache/kafka:latest", "kafka has no version in its image"),
        ("postgres:15.18-bookworm", "postgres", "postgresql has no version in its image"),
        (
            "test: [\"CMD\", \"pg_isready\"",
            "tests: [\"CMD\", \"pg_isready\"",
            "postgresql cannot be asked whether it is well",
        ),
        ("user: \"1000:1000\"", "user: root", "kafka runs as root"),
        ("user: \"999:999\"", "tty: false", "postgresql runs as root"),
        ("pids: 256", "threads: 256", "postgresql has no limits"),
        (
            "POSTGRES_PASSWORD_FILE: /run/secrets/postgresql-password",
            "POSTGRES_PASSWORD: hush",
            "postgresql has a secret in POSTGRES_PASSWORD",
        ),
        (
            "CALLBOARD_CLUSTER_ADDRESS: node-2:7421",
            "CALLBOARD_STORAGE_POSTGRESQL_URL: x",
            "node-2 has a secret in CALLBOARD_STORAGE_POSTGRESQL_URL",
        ),
        ("127.0.0.1:7430:7420", "7430:7420", "node-2 is open to others at 7430:7420"),
        ("\"node-2:/var", "\"node-9:/var", "node-2 names node-9, not in volumes"),
        ("- source: callboard", "- source: other", "node-1 names other, not in configs"),
    ] {
        let broken = COMPOSE.replacen(good, bad, 1);
        assert_ne!(broken, COMPOSE, "{good}");
        let found = complaints(&broken);
        assert!(found.iter().any(|it| it == complaint), "expected `{complaint}` in {found:?}");
    }
}

#[test]
fn what_compose_mounts_is_there_or_told_to_be_made() {
    let compose = parsed(COMPOSE);
    let readme = std::fs::read_to_string(folder().join("README.md")).expect("there is a README");
    for (_, config) in compose["configs"].as_object().expect("there are configs") {
        let file = config["file"].as_str().expect("a file");
        assert!(folder().join(file).is_file(), "{file}");
    }
    for (name, secret) in compose["secrets"].as_object().expect("there are secrets") {
        let file = secret["file"].as_str().expect("a file");
        assert_eq!(file, format!("./secrets/{name}"));
        assert!(readme.contains(&format!("secrets/{name}")), "the README does not make {name}");
        let mut ignored = Command::new("git");
        ignored.args(["check-ignore", "--quiet", file]).current_dir(folder());
        let ignored = ignored.status().expect("git answers");
        assert!(ignored.success(), "{file} could be committed");
    }
}

/// The settings that a service has in the environment, `CALLBOARD_CONFIG` not among them.
fn environment(service: &Value) -> Vec<(String, String)> {
    let all = service["environment"].as_object().into_iter().flatten();
    let ours = all.filter(|(key, _)| key.starts_with("CALLBOARD_") && *key != "CALLBOARD_CONFIG");
    ours.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// What `callboard config` says to a file and these variables.
fn settings(file: &Path, variables: &[(String, String)]) -> std::process::Output {
    let mut command = Command::new(callboard());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CALLBOARD_") {
            command.env_remove(name);
        }
    }
    command
        .arg("--config")
        .arg(file)
        .arg("config")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("the binary starts")
}

#[test]
fn what_compose_sets_are_settings() {
    let (compose, development) = (parsed(COMPOSE), folder().join("config/development.toml"));
    for node in ["node-1", "node-2"] {
        let service = &compose["services"][node];
        let mounted = &service["configs"][0]["target"];
        assert_eq!(service["environment"]["CALLBOARD_CONFIG"], *mounted, "{node}");
        let mut variables = environment(service);
        assert_eq!(variables.len(), 3, "{variables:?}");
        let said = settings(&development, &variables);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        assert!(String::from_utf8_lossy(&said.stdout).contains(&format!("\"{node}:7421\"")));
        variables[0].0.push_str("_X");
        let refused =
            String::from_utf8_lossy(&settings(&development, &variables).stderr).into_owned();
        assert!(refused.contains("unknown setting"), "{refused}");
    }
}

#[test]
fn every_example_is_read_and_refused_with_a_key_that_does_not_exist() {
    let place = Installation::new();
    for name in ["development", "staging", "production"] {
        let file = folder().join(format!("config/{name}.toml"));
        let read = settings(&file, &[]);
        assert!(read.status.success(), "{name}: {}", String::from_utf8_lossy(&read.stderr));
        let said = String::from_utf8_lossy(&read.stdout).into_owned();
        assert!(said.contains("kind = \"kafka\""), "{name}: {said}");
        if name != "development" {
            let safe =
                ["replication = 3", "security = \"sasl_tls\"", "environment = \"production\""];
            assert!(safe.iter().all(|it| said.contains(it)), "{name}: {said}");
        }
        let text = std::fs::read_to_string(&file).expect("there is one");
        let broken = place.home().join("broken.toml");
        std::fs::write(&broken, text.replace("[http]", "[http]\nlissen = \"x\"")).expect("a file");
        let refused = String::from_utf8_lossy(&settings(&broken, &[]).stderr).into_owned();
        assert!(refused.contains("unknown setting `http.lissen`"), "{name}: {refused}");
    }
}

#[test]
fn the_setup_of_compose_says_what_the_command_line_knows() {
    let compose = parsed(COMPOSE);
    let script = compose["services"]["setup"]["command"][0].as_str().expect("a script");
    let script = script.replace("$$", "$");
    // Bash reads it, and each of our commands is one.
    let read = Command::new("bash").args(["-n", "-c", &script]).status().expect("bash starts");
    assert!(read.success());
    let installation = Installation::new();
    let commands: Vec<&str> = script.split("callboard ").skip(1).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let line = command.lines().next().unwrap_or_default();
        let words = line.split_whitespace().map(|it| it.trim_matches('"'));
        let mut words: Vec<&str> = words.collect();
        words.push("--help");
        let ran = installation.run(&words);
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
    }
}

/// The parts of the Dockerfile, one for each image it begins with.
fn stages(dockerfile: &str) -> Vec<Vec<&str>> {
    let mut stages: Vec<Vec<&str>> = Vec::new();
    for line in dockerfile.lines().filter(|it| !it.starts_with('#') && !it.is_empty()) {
        if line.starts_with("FROM ") {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("it begins with an image").push(line);
    }
    stages
}

#[test]
fn the_image_is_built_from_what_was_tested_and_runs_as_nobody_special() {
    let stages = stages(DOCKERFILE);
    let [build, run] = &stages[..] else { panic!("{stages:?}") };
    for stage in [build, run] {
        let image = stage[0].split_whitespace().nth(1).expect("an image");
        assert!(is_pinned(image), "{image}");
    }
    let toolchain = include_str!("../../rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).expect("a version");
    assert!(build[0].starts_with(&format!("FROM rust:{version}-")), "{}", build[0]);
    assert!(build.iter().any(|it| it.contains("cargo build --locked --release")));
    assert!(run.contains(&"USER 10001:10001"));
    let compose = parsed(COMPOSE);
    assert_eq!(compose["services"]["node-1"]["user"], "10001:10001");
    for line in DOCKERFILE.lines() {
        let words = ["ARG ", "ENV ", "ADD ", "curl", "wget"];
        assert!(!words.iter().any(|it| line.contains(it)), "{line}");
    }
    let ignored = include_str!("../../deploy/Dockerfile.dockerignore");
    for path in [".git", "target", "deploy/secrets"] {
        assert!(ignored.lines().any(|it| it == path), "{path} would be sent to the engine");
    }
}

/// Libraries of the base image, by what their names begin with.
const IN_THE_BASE: [&str; 8] = [
    "linux-vdso",
    "/lib64/ld-linux",
    "libc.so",
    "libm.so",
    "libgcc_s.so",
    "libstdc++.so",
    "libz.so",
    "libdl.so",
];

/// Libraries that the package `libssl3` has.
const IN_LIBSSL: [&str; 2] = ["libssl.so.3", "libcrypto.so.3"];

#[test]
fn the_image_has_every_library_that_the_binary_is_linked_with() {
    let listed = Command::new("ldd").arg(callboard()).output().expect("ldd starts");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries: Vec<&str> =
        listed.lines().filter_map(|it| it.split_whitespace().next()).collect();
    assert!(libraries.len() > 3, "{listed}");
    let stages = stages(DOCKERFILE);
    let installed = stages[1].join("\n").contains(" libssl3 ");
    for library in libraries {
        let in_base = IN_THE_BASE.iter().any(|it| library.starts_with(it));
        let in_package = installed && IN_LIBSSL.iter().any(|it| library.starts_with(it));
        assert!(in_base || in_package, "no package of the image has {library}");
    }
}
