//! The examples run: each is compiled in as a module.

#[path = "../examples/explore.rs"]
mod explore;
#[path = "../examples/frame.rs"]
mod frame;
#[path = "../examples/kernel.rs"]
mod kernel;
#[path = "../examples/replay.rs"]
mod replay;

#[test]
fn examples_run() {
    kernel::main().unwrap();
    replay::main().unwrap();
    frame::main().unwrap();
    explore::main().unwrap();
}
