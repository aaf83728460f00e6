//! A server among hostile clients, on full disks, with damaged files, killed at any moment.
#![allow(missing_docs)]

mod addresses;
mod authorisation;
mod crowd;
mod damage;
mod disk;
mod refusals;
mod signatures;
mod slots;
mod torture;
