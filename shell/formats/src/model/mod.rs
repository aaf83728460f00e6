//! The items that all formats are read into and written from.

pub mod item;
mod portable;
pub mod record;

pub use portable::{Portable, bounded};
