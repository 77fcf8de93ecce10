//! Killed or without power between any two steps, the index is whole; and a failing disk loses
//! nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use domain::usage::Seen;
use event_log::Position;

use super::super::files::{Files, Folder};
use super::super::{Fingerprinter, Identities, Pending};
use super::{KEY, LOG, check_known, entry, insert, open};

/// Names and contents of files.
type Image = BTreeMap<String, Vec<u8>>;

/// What is taken away to see the check fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    Nothing,
    SyncOfFiles,
    SyncOfNames,
}

/// A folder that remembers what a power cut would leave of it after every step.
#[derive(Debug)]
struct Unreliable {
    real: Folder,
    lie: Lie,
    state: Mutex<Disk>,
}

#[derive(Debug, Default)]
struct Disk {
    /// What each name stands for now, and what after a power cut.
    names: BTreeMap<String, u32>,
    durable_names: BTreeMap<String, u32>,
    /// What is left of each file after a power cut.
    durable: BTreeMap<u32, Vec<u8>>,
    created: u32,
    images: Vec<Image>,
}

impl Unreliable {
    fn new(real: Folder, lie: Lie) -> Self {
        Self { real, lie, state: Mutex::default() }
    }

    /// Does a step on the model and takes images of what could be found after it.
    fn step(&self, step: impl FnOnce(&mut Disk)) {
        let mut disk = self.state.lock().unwrap();
        step(&mut disk);
        let left = |id: &u32| disk.durable.get(id).cloned().unwrap_or_default();
        let image = |names: &BTreeMap<String, u32>| -> Image {
            names.iter().map(|(name, id)| (name.clone(), left(id))).collect()
        };
        let live = |name: &String| std::fs::read(self.real.path(name)).unwrap_or_default();
        // Everything unsynced is lost; names got through before contents; only a kill.
        let images = [
            image(&disk.durable_names),
            image(&disk.names),
            disk.names.keys().map(|it| (it.clone(), live(it))).collect(),
        ];
        disk.images.extend(images);
    }

    fn take_images(&self) -> Vec<Image> {
        std::mem::take(&mut self.state.lock().unwrap().images)
    }
}

impl Files for Unreliable {
    fn path(&self, name: &str) -> PathBuf {
        self.real.path(name)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let file = self.real.create(name)?;
        self.step(|disk| {
            disk.created += 1;
            disk.names.insert(name.to_owned(), disk.created);
        });
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.real.open(name)
    }

    fn sync(&self, name: &str, _: &File) -> io::Result<()> {
        self.step(|_| ());
        let content = std::fs::read(self.path(name))?;
        self.step(|disk| {
            if self.lie != Lie::SyncOfFiles {
                disk.durable.insert(disk.names[name], content);
            }
        });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.real.rename(from, to)?;
        self.step(|disk| {
            let id = disk.names.remove(from).unwrap();
            disk.names.insert(to.to_owned(), id);
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.real.remove(name)?;
        self.step(|disk| {
            disk.names.remove(name);
        });
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.step(|disk| {
            if self.lie != Lie::SyncOfNames {
                disk.durable_names = disk.names.clone();
            }
        });
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.real.names()
    }
}

/// How many entries there are per sealing, and after how many positions.
const ENTRIES: u32 = 200;

/// Seals and merges on the unreliable folder, and checks everything that could be found after
/// each step; how many images there were, and how many were not whole.
fn cut_power_everywhere(lie: Lie) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let files = Arc::new(Unreliable::new(Folder::open(folder.path()).unwrap(), lie));
    let shared: Arc<dyn Files> = files.clone();
    let mut identities = Identities::open_files(&shared, &Fingerprinter::new(&KEY), LOG).unwrap();
    let (mut images, mut broken) = (0, 0);
    for round in 0..6 {
        insert(&mut identities, round * ENTRIES..(round + 1) * ENTRIES);
        let sealed_before = identities.sealed_upto();
        identities.seal(Position(u64::from(round) + 1));
        identities.settle().unwrap();
        for image in files.take_images() {
            images += 1;
            broken += usize::from(!is_whole(&image, sealed_before));
        }
    }
    assert!(identities.memory().runs < 4, "some were merged");
    (images, broken)
}

/// Whether the image opens, as of some position not before `sealed_before`, and has everything
/// up to there.
fn is_whole(image: &Image, sealed_before: Position) -> bool {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in image {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let Ok(identities) = Identities::open(folder.path(), &KEY, LOG) else { return false };
    let sealed_upto = identities.sealed_upto();
    let sealed = u32::try_from(sealed_upto.0).unwrap() * ENTRIES;
    let asked: Vec<_> = (0..sealed + 10).map(|it| entry(it, "one")).collect();
    let Ok(seen) = identities.lookup(&Pending::default(), &asked) else { return false };
    let (known, unknown) = seen.split_at(usize::try_from(sealed).unwrap());
    sealed_upto >= sealed_before
        && known.iter().all(|it| *it == Seen::Same)
        && unknown.iter().all(|it| *it == Seen::New)
        && identities.verify().is_ok()
}

#[test]
fn a_power_cut_after_any_step_leaves_it_whole() {
    let (images, broken) = cut_power_everywhere(Lie::Nothing);
    assert!(images > 150, "{images}");
    assert_eq!(broken, 0, "of {images}");
}

/// The positive controls: each sync is needed.
#[test]
fn without_a_sync_it_would_not() {
    for lie in [Lie::SyncOfFiles, Lie::SyncOfNames] {
        let (images, broken) = cut_power_everywhere(lie);
        assert!(broken > 0, "{lie:?}: none of {images}");
    }
}

/// A folder whose disk is full at times.
#[derive(Debug)]
struct Full {
    real: Folder,
    is_full: AtomicBool,
}

impl Full {
    fn check(&self) -> io::Result<()> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Files for Full {
    fn path(&self, name: &str) -> PathBuf {
        self.real.path(name)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.real.create(name)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.real.open(name)
    }

    fn sync(&self, name: &str, file: &File) -> io::Result<()> {
        self.check().and_then(|()| self.real.sync(name, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check().and_then(|()| self.real.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.real.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.real.sync_names()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.real.names()
    }
}

#[test]
fn a_full_disk_loses_nothing_and_is_overcome() {
    let folder = tempfile::tempdir().unwrap();
    let real = Folder::open(folder.path()).unwrap();
    let files = Arc::new(Full { real, is_full: AtomicBool::new(true) });
    let shared: Arc<dyn Files> = files.clone();
    let mut identities = Identities::open_files(&shared, &Fingerprinter::new(&KEY), LOG).unwrap();
    insert(&mut identities, 0..ENTRIES);
    identities.seal(Position(1));
    let fault = identities.settle().unwrap_err();
    assert!(fault.to_string().starts_with("syncing "), "{fault}");
    assert_eq!(identities.sealed_upto(), Position::START);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");

    insert(&mut identities, ENTRIES..2 * ENTRIES);
    check_known(&identities, 2 * ENTRIES, 3 * ENTRIES);
    let fault = identities.seal_all(Position(2)).unwrap_err();
    assert!(fault.to_string().starts_with("syncing "), "{fault}");

    files.is_full.store(false, Ordering::SeqCst);
    let patience = Instant::now() + Duration::from_secs(20);
    while identities.sealed_upto() < Position(2) {
        identities.seal(Position(2));
        identities.settle().unwrap();
        assert!(Instant::now() < patience, "it never recovers");
    }
    check_known(&identities, 2 * ENTRIES, 3 * ENTRIES);
    drop(identities);
    check_known(&open(folder.path()), 2 * ENTRIES, 3 * ENTRIES);
}

/// A folder where every step waits until the test lets it go on.
#[derive(Debug)]
struct Paced {
    real: Folder,
    reached: mpsc::SyncSender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl Paced {
    /// Waits for the test, which may be gone.
    fn step(&self) {
        if self.reached.send(()).is_ok() {
            // An error is a test that does not pace it any more.
            self.go_on.lock().unwrap().recv().ok();
        }
    }
}

impl Files for Paced {
    fn path(&self, name: &str) -> PathBuf {
        self.real.path(name)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.step();
        self.real.create(name)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.real.open(name)
    }

    fn sync(&self, _: &str, _: &File) -> io::Result<()> {
        self.step();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step();
        self.real.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.real.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.step();
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.real.names()
    }
}

#[test]
fn sealing_in_the_middle_of_any_step_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let real = Folder::open(folder.path()).unwrap();
    let (reached, steps) = mpsc::sync_channel(0);
    let (go, go_on) = mpsc::sync_channel(0);
    let paced: Arc<dyn Files> = Arc::new(Paced { real, reached, go_on: Mutex::new(go_on) });
    let mut identities = Identities::open_files(&paced, &Fingerprinter::new(&KEY), LOG).unwrap();
    // Dropped before the index, which could not end otherwise if the test fails.
    let (steps, go) = (steps, go);
    let mut inserted = 0;
    for step in 0..150 {
        insert(&mut identities, inserted..inserted + 10);
        inserted += 10;
        let patience = Instant::now() + Duration::from_secs(20);
        // What was frozen may be written by now, or not yet, so ask until there is a step.
        while steps.recv_timeout(Duration::from_millis(1)).is_err() {
            identities.seal(Position(step + 1));
            assert!(Instant::now() < patience, "nothing is written");
        }
        insert(&mut identities, inserted..inserted + 10);
        inserted += 10;
        // Not at every step: what comes must also find nothing frozen before it.
        if step % 5 == 0 {
            identities.seal(Position(step + 1));
        }
        check_known(&identities, inserted, inserted);
        go.send(()).unwrap();
    }
    drop(steps);
    drop(go);
    identities.settle().unwrap();
    identities.seal(Position(1_000));
    identities.settle().unwrap();
    assert_eq!(identities.memory().recent, 0);
    check_known(&identities, inserted, inserted + 100);
}
