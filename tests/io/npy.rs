//! `.npy` files that claim what they do not hold.

use crate::data;
use sam_octa2_volumes::io::{self, OpenOptions};

#[test]
fn claims_are_held_against_the_file() {
    for (name, part) in [
        ("four_channels.npy", "[2, 3, 4, 4]"),
        ("huge_claim.npy", "truncated"),
        ("huge_header.npy", "header of 2147483647 bytes"),
    ] {
        let error = io::open(data("io/bad").join(name), &OpenOptions::default()).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(name) && !error.contains('\n'), "{error}");
    }
}
