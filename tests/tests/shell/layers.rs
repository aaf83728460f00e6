//! The layers that `docs/architecture.md` draws, held against the `use` lines of every crate.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Files that may import each other in a loop.
const LARGEST_CIRCLE: usize = 3;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A module by its path; the crate's own file has none.
type Module = Vec<String>;

/// Fenced blocks of the architecture document: what stands behind their language, and their lines.
fn blocks(language: &str) -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let opening = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix(&opening) {
            let block = lines.by_ref().take_while(|line| *line != "```");
            blocks.push((name.trim().to_owned(), block.map(str::to_owned).collect()));
        }
    }
    blocks
}

/// The crates of the workspace that are drawn, with their folders.
fn crates() -> BTreeMap<String, PathBuf> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = Regex::new(r"(?s)\nmembers = \[(.*?)\]").unwrap();
    let members = members.captures(&manifest).unwrap()[1].to_owned();
    let folders = members
        .split(',')
        .map(|one| one.trim().trim_matches('"').to_owned());
    let named = folders.filter(|folder| !folder.is_empty()).map(|folder| {
        let folder = root().join(folder);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let name = Regex::new(r#"\[package\]\nname = "([^"]+)""#).unwrap();
        (name.captures(&manifest).unwrap()[1].to_owned(), folder)
    });
    named.collect()
}

/// The sources of a crate without its tests: by module, the code without comments.
fn sources(folder: &Path) -> BTreeMap<Module, String> {
    let comments = Regex::new(r"//[^\n]*").unwrap();
    // A module of tests stands in a file of its own, or is the end of a file.
    let without_tests =
        r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))? )?mod \w+(?:;| \{(?s:.*))";
    let without_tests = Regex::new(without_tests).unwrap();
    let mut sources = BTreeMap::new();
    let mut folders = vec![folder.join("src")];
    let top = folder.join("src");
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                if name != "testing" && name != "bin" {
                    folders.push(path);
                }
            } else if let Some(stem) = name.strip_suffix(".rs")
                && !["tests", "testing", "main"].contains(&stem)
                && !stem.ends_with("_tests")
            {
                let parent = path.parent().unwrap().strip_prefix(&top).unwrap();
                let mut module: Module = parent
                    .iter()
                    .map(|part| part.to_str().unwrap().to_owned())
                    .collect();
                if !["mod", "lib"].contains(&stem) {
                    module.push(stem.to_owned());
                }
                let text = fs::read_to_string(&path).unwrap();
                let code = without_tests.replace_all(&text, "");
                sources.insert(module, comments.replace_all(&code, "").into_owned());
            }
        }
    }
    sources
}

/// The paths of a `use` tree, one for each leaf.
fn leaves(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap();
        return vec![path.trim().to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut part, mut parts) = (0, String::new(), Vec::new());
    for character in inner.chars() {
        match character {
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            _ => {
                depth += i32::from(character == '{') - i32::from(character == '}');
                part.push(character);
            }
        }
    }
    parts.push(part);
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| leaves(&format!("{}{}", before.trim(), part.trim())))
        .collect()
}

/// What each module imports of its own crate.
fn imports(sources: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let uses = Regex::new(r"\buse\s+([^;]+);").unwrap();
    let inline = Regex::new(r"\b(?:crate|super)(?:::\w+)+").unwrap();
    let mut imports = BTreeMap::new();
    for (module, code) in sources {
        let trees = uses.captures_iter(code).flat_map(|tree| leaves(&tree[1]));
        let paths = inline.find_iter(code).map(|path| path.as_str().to_owned());
        let mut found = BTreeSet::new();
        for path in trees.chain(paths) {
            let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
            let mut target = module.clone();
            match parts.first() {
                Some(&"crate") => target.clear(),
                Some(&"super") => {
                    while parts.first() == Some(&"super") {
                        target.pop();
                        parts.remove(0);
                    }
                    parts.insert(0, "super");
                }
                Some(&"self") => {}
                // A module below this one, or another crate.
                Some(first) => {
                    target.push((*first).to_owned());
                    if !sources.contains_key(&target) {
                        continue;
                    }
                }
                None => continue,
            }
            target.extend(parts.iter().skip(1).map(|part| (*part).to_owned()));
            while !sources.contains_key(&target) {
                target.pop();
            }
            if target != *module {
                found.insert(target);
            }
        }
        imports.insert(module.clone(), found);
    }
    imports
}

fn reachable(imports: &BTreeMap<Module, BTreeSet<Module>>, from: &Module) -> BTreeSet<Module> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from.clone()];
    while let Some(module) = waiting.pop() {
        for next in &imports[&module] {
            if seen.insert(next.clone()) {
                waiting.push(next.clone());
            }
        }
    }
    seen
}

/// The first circle of more than [`LARGEST_CIRCLE`] files.
fn circle(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    let reach: BTreeMap<_, _> = imports
        .keys()
        .map(|module| (module, reachable(imports, module)))
        .collect();
    imports.keys().find_map(|module| {
        let back = reach[module]
            .iter()
            .filter(|other| reach[other].contains(module));
        let circle: Vec<Module> = back.cloned().collect();
        (circle.len() > LARGEST_CIRCLE).then_some(circle)
    })
}

/// Imports that run upward, each in words.
fn upward(
    floors: &BTreeMap<String, usize>,
    imports: &BTreeMap<Module, BTreeSet<Module>>,
) -> Vec<String> {
    let mut upward = Vec::new();
    for (module, found) in imports {
        // The crate's own file only declares modules and hands names on.
        let Some(own) = module.first() else { continue };
        for target in found {
            let Some(other) = target.first() else {
                continue;
            };
            if floors[other] < floors[own] {
                upward.push(format!("{} -> {}", module.join("::"), target.join("::")));
            }
        }
    }
    upward
}

/// The floor of each module of a crate, 0 on top.
fn floors(lines: &[String]) -> BTreeMap<String, usize> {
    let mut floors = BTreeMap::new();
    for (floor, line) in lines.iter().enumerate() {
        for module in line.split_whitespace() {
            assert!(
                floors.insert(module.to_owned(), floor).is_none(),
                "{module} is drawn twice"
            );
        }
    }
    floors
}

#[test]
fn no_import_runs_upward_and_no_circle_is_large() {
    let crates = crates();
    let drawn = blocks("layers");
    assert!(drawn.len() >= 8, "{drawn:?}");
    for (name, lines) in &drawn {
        let floors = floors(lines);
        let sources = sources(&crates[name]);
        let modules: BTreeSet<&String> = sources.keys().filter_map(|m| m.first()).collect();
        assert_eq!(
            modules,
            floors.keys().collect(),
            "{name}: docs/architecture.md draws other modules than there are"
        );
        let imports = imports(&sources);
        assert_eq!(upward(&floors, &imports), [""; 0], "{name}");
        assert_eq!(circle(&imports), None, "{name}");
    }
}

/// What the test above looks for is found where it is.
#[test]
fn an_upward_import_and_a_circle_are_noticed() {
    let code = |text: &str| text.to_owned();
    let sources: BTreeMap<Module, String> = [
        (vec![], code("pub use top::Top;")),
        (vec!["top".into()], code("use crate::low::{a::A, b::B};")),
        (vec!["low".into()], code("mod a; mod b; mod c; mod d;")),
        (vec!["low".into(), "a".into()], code("use super::b::B;")),
        (
            vec!["low".into(), "b".into()],
            code("use crate::low::c::C;"),
        ),
        (vec!["low".into(), "c".into()], code("use super::d;")),
        (
            vec!["low".into(), "d".into()],
            code("use super::a::A;\nfn f(_: &crate::top::Top) {}"),
        ),
    ]
    .into();
    let imports = imports(&sources);
    let floors = floors(&["top".into(), "low".into()]);
    assert_eq!(upward(&floors, &imports), ["low::d -> top"]);
    assert!(circle(&imports).unwrap().len() > LARGEST_CIRCLE);
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let crates = crates();
    let [(_, drawn)] = <[_; 1]>::try_from(blocks("crates")).unwrap();
    let drawn: BTreeMap<String, BTreeSet<String>> = drawn
        .iter()
        .map(|line| {
            let (name, below) = line.split_once("->").unwrap();
            let below = below.split_whitespace().map(str::to_owned);
            (name.trim().to_owned(), below.collect())
        })
        .collect();
    for (name, below) in &drawn {
        let manifest = fs::read_to_string(crates[name].join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap_or("");
        let dependencies = dependencies.split("\n[").next().unwrap();
        let names = dependencies
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next());
        let own: BTreeSet<String> = names
            .filter(|one| crates.contains_key(*one))
            .map(str::to_owned)
            .collect();
        assert_eq!(own, *below, "{name}");
    }
}
