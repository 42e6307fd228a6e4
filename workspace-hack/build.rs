//! Without a build script Cargo would not heed the build dependencies.

fn main() {}
