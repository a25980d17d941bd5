//! The bodies of the fuzz targets of the store and of the recorder, on the committed corpus and on damage done
//! to it.

use crate::corpus::{each_sparsely, seeds};

#[path = "../../fuzz/bodies/imported_audio.rs"]
mod imported_audio;
#[path = "../../fuzz/bodies/stored.rs"]
mod stored;
#[path = "../../fuzz/bodies/stored_audio.rs"]
mod stored_audio;
#[path = "../../fuzz/bodies/tables.rs"]
mod tables;

#[test]
fn what_a_store_gives_back_is_what_was_written_or_refused() {
    each_sparsely("stored", stored::run, 2);
}

#[test]
fn what_lies_in_the_place_of_a_recording_is_played_in_bounded_steps_or_refused() {
    each_sparsely("stored_audio", stored_audio::run, 1);
}

#[test]
fn a_changed_table_is_read_within_its_bounds_or_refused() {
    each_sparsely("tables", tables::run, 1);
}

#[test]
fn a_damaged_recording_of_an_earlier_system_is_read_within_bounds_or_refused() {
    assert!(seeds("imported_audio").len() >= 16, "one of each form");
    each_sparsely("imported_audio", imported_audio::run, 5);
}
