use super::proof::{NotProved, consistency, inclusion, root, verify_consistency, verify_inclusion};
use super::{Frontier, Node};

fn leaves(count: usize) -> Vec<Node> {
    (0..count).map(|it| Node::leaf(it.to_string().as_bytes())).collect()
}

fn frontier(leaves: &[Node]) -> Frontier {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|it| frontier.push(*it));
    frontier
}

fn size(leaves: &[Node]) -> u64 {
    leaves.len().try_into().unwrap()
}

/// The tree of no leaves and that of one empty leaf, as RFC 6962 defines them.
#[test]
fn the_smallest_trees_are_those_of_the_standard() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Frontier::default().root().to_string(), empty);
    let one = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(frontier(&[Node::leaf(&[])]).root().to_string(), one);
}

#[test]
fn a_frontier_grows_into_the_tree_over_all_leaves_and_stays_small() {
    let leaves = leaves(130);
    for count in 0..=leaves.len() {
        let grown = frontier(&leaves[..count]);
        assert_eq!(grown.root(), root(&leaves[..count]), "{count}");
        assert_eq!(grown.peaks().len(), count.count_ones() as usize);
        let again = Frontier::from_parts(grown.size(), grown.peaks().to_vec());
        assert_eq!(again, Some(grown.clone()));
        let more = [grown.peaks(), &leaves[..1]].concat();
        assert_eq!(Frontier::from_parts(grown.size(), more), None);
    }
}

#[test]
fn every_leaf_is_shown_to_be_in_the_tree_and_no_other() {
    let leaves = leaves(40);
    for count in 1..=leaves.len() {
        let within = &leaves[..count];
        let tree = (size(within), root(within));
        for (index, leaf) in within.iter().enumerate() {
            let proof = inclusion(within, index).unwrap();
            let at = index as u64;
            assert_eq!(verify_inclusion(*leaf, at, tree, &proof), Ok(()), "{index} of {count}");
            let other = Node::leaf(b"other");
            assert_eq!(verify_inclusion(other, at, tree, &proof), Err(NotProved));
        }
        assert_eq!(inclusion(within, count), None);
    }
}

#[test]
fn every_earlier_tree_is_shown_to_be_where_a_later_one_begins() {
    let leaves = leaves(40);
    for count in 1..=leaves.len() {
        let later = (count as u64, root(&leaves[..count]));
        for before in 1..=count {
            let earlier = (before as u64, root(&leaves[..before]));
            let proof = consistency(&leaves[..count], before).unwrap();
            assert_eq!(verify_consistency(earlier, later, &proof), Ok(()), "{before} of {count}");
            let other = (before as u64, Node::leaf(b"other"));
            assert_eq!(verify_consistency(other, later, &proof), Err(NotProved));
        }
        assert_eq!(consistency(&leaves[..count], 0), None);
        assert_eq!(consistency(&leaves[..count], count + 1), None);
    }
}

mod shared_data {
    use std::path::{Path, PathBuf};

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::*;

    fn folder(of: &str) -> Option<PathBuf> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        let shared = std::env::var_os("CALLBOARD_SHARED").map_or(beside, PathBuf::from);
        Some(shared.join("data/merkle/testdata").join(of)).filter(|it| it.is_dir())
    }

    /// The cases in a folder and those below it, by name.
    fn cases(folder: &Path) -> Vec<(String, Value)> {
        let mut cases = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                cases.extend(self::cases(&path));
            } else {
                let case = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                cases.push((path.display().to_string(), case));
            }
        }
        cases
    }

    /// A hash; none if the bytes are none, which no [`Node`] can be.
    fn hash(value: &Value) -> Option<Node> {
        STANDARD.decode(value.as_str().unwrap_or_default()).unwrap().try_into().ok().map(Node)
    }

    /// The same, or what stands for bytes that are no hash and equals no other.
    fn node(value: &Value) -> Node {
        hash(value).unwrap_or_else(|| Node::leaf(value.to_string().as_bytes()))
    }

    fn nodes(value: &Value) -> Vec<Node> {
        value.as_array().into_iter().flatten().map(node).collect()
    }

    fn number(value: &Value) -> u64 {
        value.as_u64().unwrap()
    }

    /// Runs every case in the folder, and asserts that those with `wantErr` alone fail.
    fn check(folder: &Path, verify: impl Fn(&Value) -> Result<(), NotProved>) {
        let cases = cases(folder);
        assert!(cases.len() > 90, "{} cases", cases.len());
        for (name, case) in cases {
            assert_eq!(verify(&case).is_err(), case["wantErr"] == true, "{name}");
        }
    }

    #[test]
    fn inclusion_is_verified_as_others_do() {
        let Some(folder) = folder("inclusion") else { return };
        check(&folder, |case| {
            let leaf = hash(&case["leafHash"]).ok_or(NotProved)?;
            let root = hash(&case["root"]).ok_or(NotProved)?;
            let (tree, proof) = ((number(&case["treeSize"]), root), nodes(&case["proof"]));
            // An index before the first is beyond the last, as an unsigned number.
            let index = case["leafIdx"].as_u64().unwrap_or(u64::MAX);
            verify_inclusion(leaf, index, tree, &proof)
        });
    }

    #[test]
    fn consistency_is_verified_as_others_do() {
        let Some(folder) = folder("consistency") else { return };
        check(&folder, |case| {
            let earlier = (number(&case["size1"]), node(&case["root1"]));
            let later = (number(&case["size2"]), node(&case["root2"]));
            verify_consistency(earlier, later, &nodes(&case["proof"]))
        });
    }
}
