//! Lists the targets, a line each: name, longest input, folders of seeds. For scripts.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

fn main() {
    for target in lumacycle_fuzz::TARGETS {
        println!("{} {} {}", target.name, target.longest, target.seeds.join(" "));
    }
}
