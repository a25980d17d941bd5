//! Prints which folder of the program uses which, and the circles: `./dev graph`. With `--files`, each file.

use optag_testing::import_graph::{between_folders, circles, read};
use optag_testing::tree::root;

fn main() {
    let files = read(&root());
    let folders = between_folders(&files);
    let shown = if std::env::args().any(|word| word == "--files") { &files } else { &folders };
    for (from, all) in shown {
        println!("{from}: {}", all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    }
    println!("\ncircles of folders: {:#?}", circles(&folders));
    println!("circles of files: {:#?}", circles(&files));
}
