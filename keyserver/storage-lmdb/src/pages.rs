//! Checks the structure of the database file before LMDB maps it: LMDB trusts every page that it reads, so that a damaged
//! page could end the process or be read as other data. The file is not changed.
//!
//! The format is LMDB's own, version 1 (`struct MDB_page`, `MDB_node`, `MDB_db`, `MDB_meta` in its `mdb.c`), in the
//! byte order and word size of this machine: 64-bit, little-endian.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
/// Page number of an empty tree's root.
const NONE: u64 = u64::MAX;
/// Bytes of a page's header, of a node's, and of a tree's description.
const PAGE_HEADER: usize = 16;
const NODE_HEADER: usize = 8;
const TREE: usize = 48;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
const META: u16 = 0x08;
/// The kinds of pages, without the flags that LMDB sets in memory only.
const KINDS: u16 = 0x7f;

/// Flags of nodes: the value is on pages of its own, or describes a tree.
const BIG: u16 = 0x01;
const SUBTREE: u16 = 0x02;

/// Damage to the file.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ends before a page that is in use.
    #[error("the file ends before page {0}, which is in use")]
    Truncated(u64),
    /// Its header is not that of a database.
    #[error("the file is not a database of this version")]
    Header,
    /// A page is malformed.
    #[error("page {0} is damaged: {1}")]
    Page(u64, &'static str),
}

#[derive(Debug, Clone, Copy)]
struct Tree {
    flags: u16,
    depth: u16,
    entries: u64,
    root: u64,
}

/// Checks the file: after `Ok` LMDB can read every page of the newest state.
pub fn check(path: &Path) -> Result<(), PageError> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let (page_size, last, [free, main]) = newest_meta(&file, len)?;
    let mut walk = Walk {
        file,
        len,
        page_size,
        last,
        used: BTreeSet::from([0, 1]),
    };
    let mut freed = Vec::new();
    walk.tree(free, &mut |_, value, page| {
        freed.push((
            page,
            free_list(value).ok_or(PageError::Page(page, "its list of free pages"))?,
        ));
        Ok(())
    })?;
    let mut tables = Vec::new();
    walk.tree(main, &mut |flags, value, page| {
        if flags != SUBTREE {
            return Err(PageError::Page(page, "a table's description"));
        }
        tables.push((
            page,
            Bytes(value)
                .tree(0)
                .ok_or(PageError::Page(page, "a table's description"))?,
        ));
        Ok(())
    })?;
    for (page, table) in tables {
        if table.flags != 0 {
            return Err(PageError::Page(page, "a table's flags"));
        }
        walk.tree(table, &mut |flags, _, page| {
            if flags & SUBTREE != 0 {
                return Err(PageError::Page(page, "a value's flags"));
            }
            Ok(())
        })?;
    }
    for (page, list) in freed {
        if list
            .iter()
            .any(|number| *number > last || walk.used.contains(number))
        {
            return Err(PageError::Page(page, "it frees a page that is in use"));
        }
    }
    Ok(())
}

/// Page size, last page, and the two trees of the newest of the two meta pages.
fn newest_meta(file: &File, len: u64) -> Result<(usize, u64, [Tree; 2]), PageError> {
    // The first meta page names the page size, which is the offset of the second.
    let first = meta(file, 0, len)?;
    let second = meta(file, first.page_size as u64, len)?;
    if second.page_size != first.page_size {
        return Err(PageError::Header);
    }
    let newest = if second.transaction > first.transaction {
        second
    } else {
        first
    };
    Ok((newest.page_size, newest.last, newest.trees))
}

struct Meta {
    page_size: usize,
    last: u64,
    transaction: u64,
    trees: [Tree; 2],
}

fn meta(file: &File, offset: u64, len: u64) -> Result<Meta, PageError> {
    const LEN: usize = PAGE_HEADER + 24 + 2 * TREE + 16;
    if len < offset + LEN as u64 {
        return Err(PageError::Truncated(u64::from(offset > 0)));
    }
    let mut bytes = [0; LEN];
    file.read_exact_at(&mut bytes, offset)?;
    let bytes = Bytes(&bytes);
    let parse = || {
        let body = PAGE_HEADER;
        let is_meta = bytes.u16(10)? & META != 0;
        if !is_meta || bytes.u32(body)? != MAGIC || bytes.u32(body + 4)? != VERSION {
            return None;
        }
        let trees = body + 24;
        let page_size = bytes.u32(trees)?;
        let sane = page_size.is_power_of_two() && (512..=32_768).contains(&page_size);
        Some(Meta {
            page_size: usize::try_from(page_size).ok().filter(|_| sane)?,
            trees: [bytes.tree(trees)?, bytes.tree(trees + TREE)?],
            last: bytes.u64(trees + 2 * TREE)?,
            transaction: bytes.u64(trees + 2 * TREE + 8)?,
        })
    };
    parse().ok_or(PageError::Header)
}

/// Takes flags and value of one node of a leaf, and the number of its page.
type Visit<'a> = dyn FnMut(u16, &[u8], u64) -> Result<(), PageError> + 'a;

struct Walk {
    file: File,
    len: u64,
    page_size: usize,
    last: u64,
    used: BTreeSet<u64>,
}

impl Walk {
    fn tree(&mut self, tree: Tree, visit: &mut Visit<'_>) -> Result<(), PageError> {
        if tree.root == NONE {
            return Ok(());
        }
        let entries = self.page(tree.root, tree.depth, visit)?;
        if entries != tree.entries {
            return Err(PageError::Page(tree.root, "entries are missing below it"));
        }
        Ok(())
    }

    /// Checks a page and all below it; returns how many entries there are.
    fn page(&mut self, number: u64, depth: u16, visit: &mut Visit<'_>) -> Result<u64, PageError> {
        let bad = |what| PageError::Page(number, what);
        let bytes = self.read(number)?;
        let page = Bytes(&bytes);
        let kind = if depth == 1 { LEAF } else { BRANCH };
        if depth == 0 || page.u16(10).map(|flags| flags & KINDS) != Some(kind) {
            return Err(bad("it is of another kind"));
        }
        let nodes = nodes(page).ok_or_else(|| bad("its nodes"))?;
        if kind == LEAF {
            self.leaf(number, &nodes, visit)?;
            return u64::try_from(nodes.len()).map_err(|_| bad("its nodes"));
        }
        let mut entries = 0u64;
        for node in nodes {
            entries = entries.saturating_add(self.page(node.child(), depth - 1, visit)?);
        }
        Ok(entries)
    }

    fn leaf(
        &mut self,
        number: u64,
        nodes: &[Node<'_>],
        visit: &mut Visit<'_>,
    ) -> Result<(), PageError> {
        let bad = |what| PageError::Page(number, what);
        if nodes
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.key == b.key))
        {
            return Err(bad("a key stands twice"));
        }
        for node in nodes {
            // LMDB follows a pointer that is not there where a table without duplicates has a node of such.
            if node.flags & !(BIG | SUBTREE) != 0 {
                return Err(bad("a value's flags"));
            }
            let len = node.value_len();
            if node.flags & BIG == 0 {
                let value = node.rest.get(..len).ok_or_else(|| bad("a value"))?;
                visit(node.flags, value, number)?;
            } else {
                let first = Bytes(node.rest).u64(0).ok_or_else(|| bad("a value"))?;
                let value = self.overflow(first, len)?;
                visit(node.flags, &value, number)?;
            }
        }
        Ok(())
    }

    /// A value on pages of its own.
    fn overflow(&mut self, number: u64, len: usize) -> Result<Vec<u8>, PageError> {
        let bad = |what| PageError::Page(number, what);
        let first = self.read(number)?;
        let page = Bytes(&first);
        if page.u16(10).map(|flags| flags & KINDS) != Some(OVERFLOW) {
            return Err(bad("it is of another kind"));
        }
        let pages = u64::from(page.u32(12).unwrap_or_default());
        let needed = (PAGE_HEADER + len).div_ceil(self.page_size);
        if pages < needed as u64 || pages > self.last {
            return Err(bad("the length of its value"));
        }
        for next in number + 1..number.saturating_add(pages) {
            if next > self.last || !self.used.insert(next) {
                return Err(PageError::Page(next, "it is used twice"));
            }
        }
        let start = self.offset(number) + PAGE_HEADER as u64;
        if start + len as u64 > self.len {
            return Err(PageError::Truncated(number + pages - 1));
        }
        let mut value = vec![0; len];
        self.file.read_exact_at(&mut value, start)?;
        Ok(value)
    }

    fn offset(&self, number: u64) -> u64 {
        number.saturating_mul(self.page_size as u64)
    }

    /// Reads a page that nothing else has used.
    fn read(&mut self, number: u64) -> Result<Vec<u8>, PageError> {
        if number > self.last {
            return Err(PageError::Page(number, "there is no such page"));
        }
        if !self.used.insert(number) {
            return Err(PageError::Page(number, "it is used twice"));
        }
        let offset = self.offset(number);
        if offset.saturating_add(self.page_size as u64) > self.len {
            return Err(PageError::Truncated(number));
        }
        let mut bytes = vec![0; self.page_size];
        self.file.read_exact_at(&mut bytes, offset)?;
        if Bytes(&bytes).u64(0) != Some(number) {
            return Err(PageError::Page(number, "it names another number"));
        }
        Ok(bytes)
    }
}

struct Node<'a> {
    low: u16,
    high: u16,
    flags: u16,
    key: &'a [u8],
    /// From the end of the key to the end of the page.
    rest: &'a [u8],
}

impl Node<'_> {
    fn value_len(&self) -> usize {
        usize::from(self.low) | usize::from(self.high) << 16
    }

    /// In a branch: the page below.
    fn child(&self) -> u64 {
        u64::from(self.low) | u64::from(self.high) << 16 | u64::from(self.flags) << 32
    }
}

fn nodes(page: Bytes<'_>) -> Option<Vec<Node<'_>>> {
    let (lower, upper) = (usize::from(page.u16(12)?), usize::from(page.u16(14)?));
    let sane = lower >= PAGE_HEADER && lower % 2 == 0 && lower <= upper && upper <= page.0.len();
    if !sane || lower == PAGE_HEADER {
        return None;
    }
    let offsets = (PAGE_HEADER..lower).step_by(2);
    offsets
        .map(|place| {
            let start = usize::from(page.u16(place)?);
            if start < upper {
                return None;
            }
            let rest = page.0.get(start + NODE_HEADER..)?;
            let (key, rest) = rest.split_at_checked(usize::from(page.u16(start + 6)?))?;
            Some(Node {
                low: page.u16(start)?,
                high: page.u16(start + 2)?,
                flags: page.u16(start + 4)?,
                key,
                rest,
            })
        })
        .collect()
}

/// A count, then so many page numbers.
fn free_list(value: &[u8]) -> Option<Vec<u64>> {
    let value = Bytes(value);
    let count = usize::try_from(value.u64(0)?).ok()?;
    if count.checked_add(1)?.checked_mul(8)? > value.0.len() {
        return None;
    }
    (1..=count).map(|place| value.u64(place * 8)).collect()
}

#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn tree(self, at: usize) -> Option<Tree> {
        Some(Tree {
            flags: self.u16(at + 4)?,
            depth: self.u16(at + 6)?,
            entries: self.u64(at + 32)?,
            root: self.u64(at + 40)?,
        })
    }
}
