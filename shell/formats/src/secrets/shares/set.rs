//! Shares that are collected until there are enough.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::shamir::{self, Point};
use super::share::{Scheme, Share};
use crate::error::FormatError;

/// Shares of one secret.
#[derive(Default)]
pub struct Set {
    scheme: Option<Scheme>,
    len: usize,
    groups: BTreeMap<u8, Group>,
}

/// Shares of one group.
struct Group {
    threshold: u8,
    members: BTreeMap<u8, Zeroizing<Vec<u8>>>,
}

impl Group {
    fn is_complete(&self) -> bool {
        self.members.len() >= usize::from(self.threshold)
    }
}

impl Set {
    /// Adds a share; the same one again changes nothing.
    ///
    /// # Errors
    /// [`FormatError`] for a share of another secret.
    pub fn add(&mut self, share: Share) -> Result<(), FormatError> {
        let scheme = *self.scheme.get_or_insert(share.scheme);
        if self.len == 0 {
            self.len = share.value.len();
        }
        if scheme != share.scheme || self.len != share.value.len() {
            return Err(FormatError::malformed(
                "the share belongs to another secret",
            ));
        }
        let group = self.groups.entry(share.group).or_insert_with(|| Group {
            threshold: share.threshold,
            members: BTreeMap::new(),
        });
        if group.threshold != share.threshold {
            let text = "the shares state different thresholds";
            return Err(FormatError::malformed(text));
        }
        let known = group.members.entry(share.member);
        if *known.or_insert_with(|| share.value.clone()) != share.value {
            let number = share.member + 1;
            let text = format!("two different shares have the number {number}");
            return Err(FormatError::malformed(text));
        }
        Ok(())
    }

    /// The missing shares, as a short phrase; `None` where there are enough.
    pub fn missing(&self) -> Option<String> {
        let Some(scheme) = &self.scheme else {
            return Some("all shares".into());
        };
        let complete = self.groups.values().filter(|group| group.is_complete());
        let missing = usize::from(scheme.group_threshold).saturating_sub(complete.count());
        if missing == 0 {
            return None;
        }
        let mut groups = self.groups.values().filter(|group| !group.is_complete());
        Some(match groups.next() {
            Some(group) if scheme.group_threshold == 1 => {
                let threshold = group.threshold;
                let more = usize::from(threshold) - group.members.len();
                format!("{more} more of {threshold} shares")
            }
            _ => format!(
                "{missing} more of {} groups of shares",
                scheme.group_threshold
            ),
        })
    }

    /// The shared value and its parameters.
    ///
    /// # Errors
    /// [`FormatError`] where something is missing, or was altered.
    pub fn joined(&self) -> Result<(Scheme, Zeroizing<Vec<u8>>), FormatError> {
        let (None, Some(scheme)) = (self.missing(), self.scheme) else {
            return Err(FormatError::malformed("there are too few shares"));
        };
        let complete = self.groups.iter().filter(|(_, group)| group.is_complete());
        let points = complete.map(|(place, group)| {
            let members = group.members.iter();
            let members: Vec<Point> = members.map(|(at, value)| (*at, value.clone())).collect();
            Ok((*place, shamir::join(group.threshold, &members)?))
        });
        let points: Vec<Point> = points.collect::<Result<_, FormatError>>()?;
        let joined = shamir::join(scheme.group_threshold, &points)?;
        Ok((scheme, joined))
    }
}
