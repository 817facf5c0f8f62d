//! What the tests over several crates share: inputs of chosen size and the machines that drive the built programs.

pub mod platforms;
