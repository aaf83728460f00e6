//! The conformance suite that every engine passes, and an engine in memory.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::print_stdout
)]

mod credentials;
mod login_aggregates;
mod login_throttle;
pub mod memory;
mod owner;
mod transactions;
mod vault;

use std::sync::Arc;

use shared::secret::Key;

use crate::config::Config;
use crate::engine::Engine;
use crate::store::Store;

/// A place for one database, which outlives the engines that are opened on it.
pub trait Place {
    /// Opens an engine on it; the one before was dropped.
    fn engine(&self) -> Arc<dyn Engine>;
}

impl Place for memory::Memory {
    fn engine(&self) -> Arc<dyn Engine> {
        Arc::new(self.clone())
    }
}

/// Makes an empty place.
pub type Fresh = fn() -> Box<dyn Place>;

impl dyn Place + '_ {
    /// Opens the database.
    fn open(&self, config: Config) -> Store {
        Store::open(self.engine(), config, &Key::new([7; 32])).unwrap()
    }
}

/// Limits of the tests.
fn config() -> Config {
    Config {
        min_free_bytes: 0,
        ..Config::default()
    }
}

/// Calls another macro with its arguments and the names of all tests, by module: a test that is not named here is dead
/// code, which the compiler reports.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($($call:tt)::+, $($arguments:tt)*) => {
        $($call)::+! {
            $($arguments)*
            transactions {
                rows_are_put_replaced_deleted_and_kept_apart_by_table
                ranges_are_ordered_bytewise_and_keep_their_bounds
                visits_end_where_they_break_or_fail
                prefixes_hold_exactly_the_keys_that_begin_with_them
                thousands_of_rows_are_visited_and_deleted
                a_snapshot_does_not_see_later_writes
                work_that_fails_leaves_nothing_behind
                retried_work_is_carried_out_once
                writers_at_once_are_serialized
            }
            vault {
                appends_survive_reopening_and_conflicts_are_recorded
                a_batch_mixes_accounts_and_refusals_do_not_spread
                another_accounts_values_are_out_of_reach
                a_removed_secret_is_restored_or_purged_for_good
                old_versions_and_notes_are_purged_by_a_proof_only
                a_reseal_replaces_the_forms_of_its_version
                a_call_destroys_what_it_wrote_before
                content_is_what_its_entry_names
                a_full_account_and_a_full_disk_refuse_what_needs_room_and_nothing_else
                an_account_pays_for_the_records_of_its_sessions_and_for_no_others
                the_budget_of_records_refills
                the_last_half_of_the_reserve_is_for_those_who_made_few_records
                a_database_of_another_schema_is_refused
                a_wrong_counter_is_damage
            }
            credentials {
                nothing_is_done_for_a_credential_that_is_gone
                a_generation_is_never_jumped_over
                an_epoch_gives_its_key_to_exactly_the_credentials_that_stay
                an_install_has_its_entries_in_order
                an_install_is_whole_and_no_append
                entries_are_verified_by_the_keys_of_their_own_position
                what_outlives_a_session_is_authorised
                an_epoch_takes_a_proof
                a_lease_that_is_over_opens_nothing
                use_renews_a_lease_and_a_device_does_not_extend_it
                a_device_renews_its_credential_without_an_entry
                a_credential_is_retired_at_once
                a_registration_names_its_credentials
                an_account_has_no_more_than_its_slots
            }
            login_throttle {
                a_thousand_starts_at_once_count_as_a_thousand_across_a_restart
                a_success_takes_back_its_start
                a_busy_owner_hides_no_guesses
                guesses_per_hour_are_few_from_one_address_and_from_many
                asking_all_the_time_lets_no_more_through
                nobody_outruns_the_owner
                fresh_addresses_cost_the_owner_a_minute_each_at_most
                nobody_sees_that_the_owner_logs_in
                a_full_table_evicts_the_rows_with_the_fewest_attempts
            }
            login_aggregates {
                events_of_names_without_an_account_write_the_same_rows
                starts_are_records_when_their_minute_is_over
                a_clock_that_was_set_back_hides_nothing
                the_owner_sees_all_earlier_events
                many_addresses_do_not_make_a_log_grow
                lasting_floods_get_longer_spans
                names_without_an_account_take_no_more_than_their_room
            }
        }
    };
}

/// Makes a test of every test of the suite. Takes a function that makes an empty [`testing::Place`](crate::testing::Place).
#[macro_export]
macro_rules! conformance {
    ($fresh:ident) => {
        $crate::conformance_tests! { $crate::conformance, @tests $fresh; }
    };
    (@tests $fresh:ident; $($module:ident { $($test:ident)* })*) => {
        $(mod $module {
            $(#[test]
            fn $test() {
                $crate::testing::suite::$module::$test(super::$fresh);
            })*
        })*
    };
}

/// The tests.
pub mod suite {
    macro_rules! suite {
        ($($module:ident { $($test:ident)* })*) => {
            $(#[allow(missing_docs)]
            pub mod $module {
                $(pub fn $test(fresh: $crate::testing::Fresh) {
                    $crate::testing::$module::$test(fresh);
                })*
            })*
        };
    }
    crate::conformance_tests! { suite, }
}

#[cfg(test)]
mod on_memory {
    use super::{Place, memory::Memory};

    fn fresh() -> Box<dyn Place> {
        Box::new(Memory::default())
    }

    crate::conformance! { fresh }
}
