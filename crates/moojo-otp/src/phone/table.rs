//! What is needed of the numbering plans: from the metadata of Google's
//! [libphonenumber](https://github.com/google/libphonenumber) 9.0.33 (Apache License 2.0).

mod codes;
mod regions;

pub(super) use codes::CALLING_CODES;
pub(super) use regions::REGIONS;
