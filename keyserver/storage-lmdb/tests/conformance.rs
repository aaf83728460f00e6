//! The conformance suite on LMDB.

use std::sync::Arc;

use storage::engine::Engine;
use storage::testing::Place;
use storage_lmdb::{Lmdb, Options};

struct Folder(tempfile::TempDir);

impl Place for Folder {
    #[allow(clippy::unwrap_used)]
    fn engine(&self) -> Arc<dyn Engine> {
        let options = Options {
            data_dir: self.0.path().to_owned(),
            map_size_initial: 64 << 20,
            map_size_max: 1 << 30,
        };
        Arc::new(Lmdb::open(options).unwrap())
    }
}

#[allow(clippy::unwrap_used)]
fn fresh() -> Box<dyn Place> {
    Box::new(Folder(tempfile::tempdir().unwrap()))
}

storage::conformance! { fresh }
