//! motet with the task `classify_bytes` beside its own.

fn main() -> motet::Exit {
    motet::App::new()
        .name("magika")
        .about("motet with Magika: kinds of files.")
        .task::<motet_example_magika::ClassifyBytes>()
        .run()
}
