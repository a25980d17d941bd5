//! The one integration-test binary: the built program and the library from outside.

mod bad_input;
mod corpus;
mod crash;
mod demo;
mod phone;
mod promises;
mod s3;
mod server;
mod shutdown;
