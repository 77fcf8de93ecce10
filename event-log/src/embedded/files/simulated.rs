//! A file system in memory that can lose power, fail to sync and run out of room.
//!
//! It keeps apart what programs see and what the disk has. A power cut leaves of every file what
//! was synced, plus any of the 512-byte sectors that were not, and of the names in a folder what
//! was synced, plus some of the changes since, in their order. A sync that fails leaves some
//! sectors behind for good: they can be read, and no later sync will write them.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::{File, Files, Lock};

mod world;

pub(in crate::embedded) use world::Random;

use world::{Node, SECTOR_BYTES, World};

/// What ends the process, and what is left then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) enum Crash {
    /// The process is killed: everything written can still be read.
    Process,
    /// The power goes: only what was synced is sure to remain.
    Power,
}

/// Steps that can be left out, to see that the tests notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) enum Omit {
    Nothing,
    /// Syncs of files opened under a name with this extension.
    SyncsOf(&'static str),
    FolderSyncs,
}

/// Which syncs wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    None,
    All,
    Of(&'static str),
}

/// The file system. Clones share it.
#[derive(Clone)]
pub(in crate::embedded) struct Simulated(Arc<(Mutex<World>, Condvar)>);

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Simulated").field(&self.world().names.keys()).finish()
    }
}

impl Simulated {
    pub(in crate::embedded) fn new(seed: u64) -> Self {
        Self::of(World::new(seed))
    }

    fn of(world: World) -> Self {
        Self(Arc::new((Mutex::new(world), Condvar::new())))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.0.lock().unwrap()
    }

    /// Leaves out a step from now on.
    pub(in crate::embedded) fn omit(&self, step: Omit) {
        self.world().omit = step;
    }

    /// Lets `calls` more calls through, then crashes.
    pub(in crate::embedded) fn crash_after(&self, calls: u64, crash: Crash) {
        self.world().calls_left = Some((calls, crash));
    }

    /// Lets `syncs` more syncs of files opened under a name with this extension succeed, then
    /// makes one fail.
    pub(in crate::embedded) fn fail_sync_of(&self, extension: &'static str, syncs: u64) {
        self.world().syncs_left = Some((extension, syncs));
    }

    /// How many syncs there were of files opened under a name with this extension.
    pub(in crate::embedded) fn syncs_of(&self, extension: &str) -> u64 {
        self.world().syncs.get(extension).copied().unwrap_or_default()
    }

    /// Leaves room for this many bytes more than are used now.
    pub(in crate::embedded) fn leave_room(&self, bytes: usize) {
        let mut world = self.world();
        world.room = world.used().saturating_add(bytes);
    }

    /// How many bytes of a file opened under a name with this extension were written and not synced
    /// at most, in whole sectors.
    pub(in crate::embedded) fn unsynced_max_of(&self, extension: &str) -> usize {
        self.world().unsynced_max.get(extension).copied().unwrap_or_default()
    }

    /// Makes every sync wait until they are let go.
    pub(in crate::embedded) fn hold_syncs(&self) {
        self.world().held = Held::All;
    }

    /// Makes syncs of files opened under a name with this extension wait until they are let go.
    pub(in crate::embedded) fn hold_syncs_of(&self, extension: &'static str) {
        self.world().held = Held::Of(extension);
    }

    pub(in crate::embedded) fn release_syncs(&self) {
        self.world().held = Held::None;
        self.0.1.notify_all();
    }

    /// What the next process finds.
    pub(in crate::embedded) fn after_crash(&self) -> Self {
        let mut world = self.world();
        if !world.crashed {
            world.crash(Crash::Power);
        }
        let mut next = world.clone();
        (next.crashed, next.calls_left, next.syncs_left) = (false, None, None);
        (next.held, next.room) = (Held::None, usize::MAX);
        Self::of(next)
    }

    /// The same files again, as the next process finds them when nothing went wrong.
    pub(in crate::embedded) fn copy(&self) -> Self {
        Self::of(self.world().clone())
    }

    /// The content of a file.
    pub(in crate::embedded) fn content(&self, path: &Path) -> Vec<u8> {
        let world = self.world();
        world.nodes[world.names[path]].seen.clone()
    }

    /// Changes the content of a file, also on the disk.
    pub(in crate::embedded) fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let node = world.names[path];
        let node = &mut world.nodes[node];
        change(&mut node.seen);
        node.stored = node.seen.clone();
        node.dirty.clear();
    }

    /// A call begins: fails if there is nobody left to serve it.
    fn call(&self) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.world();
        if let Some((calls, crash)) = &mut world.calls_left {
            let crash = *crash;
            match calls.checked_sub(1) {
                Some(left) => *calls = left,
                None if !world.crashed => world.crash(crash),
                None => (),
            }
        }
        if world.crashed { Err(io::Error::other("the machine is off")) } else { Ok(world) }
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Files for Simulated {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let node = *self.call()?.names.get(path).ok_or_else(missing)?;
        Ok(Handle::shared(self, node, path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut world = self.call()?;
        let node = world.nodes.len();
        world.nodes.push(Node::default());
        world.name(vec![(path.to_owned(), Some(node))]);
        Ok(Handle::shared(self, node, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.call()?;
        let node = *world.names.get(from).ok_or_else(missing)?;
        world.name(vec![(to.to_owned(), Some(node)), (from.to_owned(), None)]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.call()?;
        if !world.names.contains_key(path) {
            return Err(missing());
        }
        world.name(vec![(path.to_owned(), None)]);
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let world = self.call()?;
        let inside = world.names.keys().filter_map(|it| it.strip_prefix(folder).ok());
        let names: BTreeSet<_> = inside
            .filter_map(|it| it.components().next())
            .map(|it| it.as_os_str().to_str().unwrap().to_owned())
            .collect();
        Ok(names.into_iter().collect())
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        self.call().map(drop)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut world = self.call()?;
        if world.omit != Omit::FolderSyncs {
            let count = world.namings.len();
            world.sync_names(count);
        }
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Lock>> {
        Ok(Box::new(NoLock))
    }
}

#[derive(Debug)]
struct NoLock;

impl Lock for NoLock {}

#[derive(Debug)]
struct Handle {
    files: Simulated,
    node: usize,
    extension: String,
}

impl Handle {
    fn shared(files: &Simulated, node: usize, path: &Path) -> Arc<dyn File> {
        let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
        Arc::new(Self { files: files.clone(), node, extension: extension.to_owned() })
    }
}

impl File for Handle {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let mut world = match self.files.call() {
            Ok(world) => world,
            Err(error) => {
                // The process may have been in the middle of this write.
                let mut world = self.files.world();
                if matches!(world.calls_left, Some((0, Crash::Process))) {
                    world.calls_left = None;
                    let part = world.random.below(bytes.len() as u64 + 1);
                    let part = usize::try_from(part).unwrap();
                    world.nodes[self.node].write(offset, &bytes[..part]);
                }
                return Err(error);
            }
        };
        let longer = (offset + bytes.len()).saturating_sub(world.nodes[self.node].seen.len());
        let room = world.room.saturating_sub(world.used());
        if longer > room {
            let part = bytes.len() - (longer - room);
            world.nodes[self.node].write(offset, &bytes[..part]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.nodes[self.node].write(offset, bytes);
        let unsynced = world.nodes[self.node].dirty.len() * SECTOR_BYTES;
        let most = world.unsynced_max.entry(self.extension.clone()).or_default();
        *most = unsynced.max(*most);
        Ok(())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let world = self.files.call()?;
        let seen = &world.nodes[self.node].seen;
        let start = usize::try_from(offset).unwrap().min(seen.len());
        let count = into.len().min(seen.len() - start);
        into[..count].copy_from_slice(&seen[start..start + count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        let waited = self.files.0.1.wait_while(self.files.world(), |it| match it.held {
            Held::None => false,
            Held::All => true,
            Held::Of(extension) => extension == self.extension,
        });
        drop(waited.unwrap());
        let mut guard = self.files.call()?;
        let world = &mut *guard;
        *world.syncs.entry(self.extension.clone()).or_default() += 1;
        if matches!(world.omit, Omit::SyncsOf(it) if it == self.extension) {
            return Ok(());
        }
        let fails = match &mut world.syncs_left {
            Some((extension, left)) if *extension == self.extension => {
                let fails = *left == 0;
                *left = left.saturating_sub(1);
                fails
            }
            _ => false,
        };
        let node = &mut world.nodes[self.node];
        for sector in std::mem::take(&mut node.dirty) {
            if !fails || world.random.coin() {
                node.store(sector);
            }
        }
        if fails {
            world.syncs_left = None;
            return Err(io::Error::other("the disk did not take it"));
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.files.call()?.nodes[self.node].seen.len() as u64)
    }
}
