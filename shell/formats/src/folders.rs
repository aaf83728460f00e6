//! Items by folder, for formats that nest them.

use std::collections::BTreeMap;

/// A folder with its items and folders.
#[derive(Debug)]
pub struct Folder<T> {
    /// The items in the order in which they were added.
    pub items: Vec<T>,
    /// The folders by name.
    pub folders: BTreeMap<String, Self>,
}

impl<T> Default for Folder<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            folders: BTreeMap::new(),
        }
    }
}

impl<T> Folder<T> {
    /// The folder at a path whose components are separated by `/`; folders that are missing are added. `None` is this
    /// folder.
    pub fn at(&mut self, path: Option<&str>) -> &mut Self {
        let components = path.into_iter().flat_map(|path| path.split('/'));
        components.fold(self, |folder, component| {
            folder.folders.entry(component.to_owned()).or_default()
        })
    }
}
