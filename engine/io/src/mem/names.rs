//! The directory tree of the simulated disk: what processes see now, and what is durable. A change of names
//! (create, rename, unlink) is durable only after its directory was synced; a crash keeps or loses each change
//! whole, by its own chance. Knows inode numbers, not contents.

use super::rng::Rng;
use crate::seam::PathKind;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

pub(super) type Inode = u64;

const ROOT: Inode = 0;

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(Inode),
    Directory(Inode),
}

impl Node {
    fn inode(self) -> Inode {
        match self {
            Node::File(inode) | Node::Directory(inode) => inode,
        }
    }
}

type Names = BTreeMap<OsString, Node>;

/// One name's new meaning; `None` is no meaning.
#[derive(Clone, Debug)]
struct Put {
    directory: Inode,
    name: OsString,
    node: Option<Node>,
}

/// What one call changed, kept or lost as a whole, like a journaled filesystem does.
#[derive(Clone, Debug)]
struct Change {
    number: u64,
    puts: Vec<Put>,
}

#[derive(Debug)]
pub(super) struct Tree {
    live: BTreeMap<Inode, Names>,
    /// Where each inode is now: every one has one name at most.
    place: BTreeMap<Inode, (Inode, OsString)>,
    /// Files that have lost their name, but may get it back by a crash.
    nameless: BTreeSet<Inode>,
    /// With the number of the change that made each, so that an older one applied later changes nothing.
    durable: BTreeMap<(Inode, OsString), (u64, Option<Node>)>,
    pending: Vec<Change>,
    next_inode: Inode,
    next_change: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Tree {
            live: BTreeMap::from([(ROOT, Names::new())]),
            place: BTreeMap::new(),
            nameless: BTreeSet::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            next_inode: ROOT + 1,
            next_change: 0,
        }
    }
}

fn error(kind: io::ErrorKind, path: &Path, what: &str) -> io::Error {
    io::Error::new(kind, format!("{}: {what}", path.display()))
}

fn not_found(path: &Path) -> io::Error {
    error(io::ErrorKind::NotFound, path, "no such file or directory")
}

impl Tree {
    fn new_inode(&mut self) -> Inode {
        self.next_inode += 1;
        self.next_inode - 1
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Node> {
        let mut node = Node::Directory(ROOT);
        for part in path.components() {
            let name = match part {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => name,
                _ => return Err(error(io::ErrorKind::InvalidInput, path, "only plain names, please")),
            };
            let Node::Directory(inode) = node else {
                return Err(error(io::ErrorKind::NotADirectory, path, "a part of it is a file"));
            };
            node = *self.live[&inode].get(name).ok_or_else(|| not_found(path))?;
        }
        Ok(node)
    }

    fn directory(&self, path: &Path) -> io::Result<Inode> {
        match self.find(path)? {
            Node::Directory(inode) => Ok(inode),
            Node::File(_) => Err(error(io::ErrorKind::NotADirectory, path, "is a file")),
        }
    }

    /// The directory that holds the path's last name, and that name.
    fn split<'a>(&self, path: &'a Path) -> io::Result<(Inode, &'a OsStr)> {
        let name = path.file_name().ok_or_else(|| error(io::ErrorKind::InvalidInput, path, "has no name"))?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.directory(parent)?, name))
    }

    fn change(&mut self, puts: Vec<Put>) {
        for put in &puts {
            let names = self.live.get_mut(&put.directory).expect("looked up before");
            let old = match put.node {
                Some(node) => names.insert(put.name.clone(), node),
                None => names.remove(&put.name),
            };
            if let Some(old) = old {
                self.place.remove(&old.inode());
                self.nameless.insert(old.inode());
            }
            if let Some(node) = put.node {
                self.place.insert(node.inode(), (put.directory, put.name.clone()));
                self.nameless.remove(&node.inode());
            }
        }
        self.pending.push(Change { number: self.next_change, puts });
        self.next_change += 1;
    }

    /// Creates an empty file whose name was free.
    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<Inode> {
        let (directory, name) = self.split(path)?;
        let inode = self.new_inode();
        self.change(vec![Put { directory, name: name.to_owned(), node: Some(Node::File(inode)) }]);
        Ok(inode)
    }

    /// Creates a directory and its missing parents.
    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        match self.directory(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => return other.map(|_| ()),
        }
        if let Some(parent) = path.parent() {
            self.create_dir_all(parent)?;
        }
        let (directory, name) = self.split(path)?;
        let inode = self.new_inode();
        self.live.insert(inode, Names::new());
        self.change(vec![Put { directory, name: name.to_owned(), node: Some(Node::Directory(inode)) }]);
        Ok(())
    }

    /// Renames; replaces a file or an empty directory at `to`.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let (from_directory, from_name) = self.split(from)?;
        let (to_directory, to_name) = self.split(to)?;
        match (node, self.live[&to_directory].get(to_name)) {
            (_, Some(there)) if *there == node => return Ok(()),
            (Node::File(_), Some(Node::Directory(_))) => {
                return Err(error(io::ErrorKind::IsADirectory, to, "is a directory"));
            }
            (Node::Directory(_), Some(Node::File(_))) => {
                return Err(error(io::ErrorKind::NotADirectory, to, "is a file"));
            }
            (Node::Directory(_), Some(Node::Directory(inode))) if !self.live[inode].is_empty() => {
                return Err(error(io::ErrorKind::DirectoryNotEmpty, to, "is not empty"));
            }
            _ => {}
        }
        self.change(vec![
            Put { directory: from_directory, name: from_name.to_owned(), node: None },
            Put { directory: to_directory, name: to_name.to_owned(), node: Some(node) },
        ]);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        if let Node::Directory(_) = self.find(path)? {
            return Err(error(io::ErrorKind::IsADirectory, path, "is a directory"));
        }
        let (directory, name) = self.split(path)?;
        self.change(vec![Put { directory, name: name.to_owned(), node: None }]);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.directory(path)?;
        if !self.live[&inode].is_empty() {
            return Err(error(io::ErrorKind::DirectoryNotEmpty, path, "is not empty"));
        }
        let (directory, name) = self.split(path)?;
        self.change(vec![Put { directory, name: name.to_owned(), node: None }]);
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let inode = self.directory(path)?;
        Ok(self.live[&inode].keys().map(|name| path.join(name)).collect())
    }

    pub(super) fn kind(&self, path: &Path, size: impl Fn(Inode) -> u64) -> io::Result<PathKind> {
        Ok(match self.find(path)? {
            Node::File(inode) => PathKind::File(size(inode)),
            Node::Directory(_) => PathKind::Directory,
        })
    }

    /// Every file, with its path.
    pub(super) fn files(&self) -> Vec<(PathBuf, Inode)> {
        let mut files = Vec::new();
        let mut todo = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, directory)) = todo.pop() {
            for (name, node) in &self.live[&directory] {
                match node {
                    Node::File(inode) => files.push((path.join(name), *inode)),
                    Node::Directory(inode) => todo.push((path.join(name), *inode)),
                }
            }
        }
        files.sort();
        files
    }

    /// The path that a file has now.
    pub(super) fn path_of(&self, inode: Inode) -> Option<PathBuf> {
        let mut names = Vec::new();
        let mut at = inode;
        while at != ROOT {
            let (directory, name) = self.place.get(&at)?;
            names.push(name);
            at = *directory;
        }
        Some(names.into_iter().rev().fold(PathBuf::from("/"), |path, name| path.join(name)))
    }

    /// Makes every change of the directory durable.
    pub(super) fn sync(&mut self, path: &Path) -> io::Result<()> {
        let directory = self.directory(path)?;
        let touches = |change: &Change| change.puts.iter().any(|put| put.directory == directory);
        let (synced, pending) = std::mem::take(&mut self.pending).into_iter().partition(touches);
        self.pending = pending;
        self.apply(synced);
        Ok(())
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            for put in change.puts {
                let entry = self.durable.entry((put.directory, put.name)).or_insert((change.number, None));
                if entry.0 <= change.number {
                    *entry = (change.number, put.node);
                }
            }
        }
    }

    /// A durable name of a file is gone, though nobody removed it.
    pub(super) fn lose(&mut self, path: &Path) {
        let Ok((directory, name)) = self.split(path) else { return };
        self.durable.remove(&(directory, name.to_owned()));
        let lost = self.live.get_mut(&directory).and_then(|names| names.remove(name));
        if let Some(node) = lost {
            self.place.remove(&node.inode());
        }
    }

    /// Power loss: what was synced stays, every other change is kept or lost. Gives how many were lost.
    pub(super) fn crash(&mut self, rng: &mut Rng) -> u64 {
        let pending = std::mem::take(&mut self.pending);
        let changes = pending.len();
        let kept: Vec<Change> = pending.into_iter().filter(|_| rng.coin()).collect();
        let lost = changes - kept.len();
        self.apply(kept);
        for names in self.live.values_mut() {
            names.clear();
        }
        for ((directory, name), (_, node)) in &self.durable {
            if let (Some(names), Some(node)) = (self.live.get_mut(directory), node) {
                names.insert(name.clone(), *node);
            }
        }
        self.forget_unreachable();
        self.place = self.places();
        self.nameless.clear();
        let reachable: BTreeSet<Inode> = self.live.keys().copied().collect();
        self.durable.retain(|(directory, _), (_, node)| node.is_some() && reachable.contains(directory));
        lost as u64
    }

    fn places(&self) -> BTreeMap<Inode, (Inode, OsString)> {
        let entries = |(directory, names): (&Inode, &Names)| {
            let directory = *directory;
            let place = move |(name, node): (&OsString, &Node)| (node.inode(), (directory, name.clone()));
            names.iter().map(place).collect::<Vec<_>>()
        };
        self.live.iter().flat_map(entries).collect()
    }

    fn forget_unreachable(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut todo = vec![ROOT];
        while let Some(directory) = todo.pop() {
            for node in self.live[&directory].values() {
                if let Node::Directory(inode) = node
                    && reached.insert(*inode)
                {
                    todo.push(*inode);
                }
            }
        }
        self.live.retain(|inode, _| reached.contains(inode));
    }

    /// Every inode that a name leads to, now or after some crash.
    pub(super) fn known(&self) -> BTreeSet<Inode> {
        let live = self.live.values().flat_map(|names| names.values().copied());
        let durable = self.durable.values().filter_map(|(_, node)| *node);
        let pending = self.pending.iter().flat_map(|change| change.puts.iter().filter_map(|put| put.node));
        live.chain(durable).chain(pending).map(Node::inode).collect()
    }

    /// Whether a name leads to the inode now.
    pub(super) fn is_linked(&self, inode: Inode) -> bool {
        self.place.contains_key(&inode)
    }

    /// Whether files have lost their names since somebody asked which of them are gone for good.
    pub(super) fn has_nameless(&self) -> bool {
        !self.nameless.is_empty()
    }

    /// Forgets the nameless that nothing leads to any more.
    pub(super) fn forget_nameless(&mut self, is_there: impl Fn(Inode) -> bool) {
        self.nameless.retain(|inode| is_there(*inode));
    }
}
