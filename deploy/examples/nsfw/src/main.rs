//! motet with the task `classify_image` beside its own.

fn main() -> motet::Exit {
    motet::App::new()
        .name("nsfw")
        .about("motet with Open NSFW: images that are not safe for work.")
        .task::<motet_example_nsfw::ClassifyImage>()
        .run()
}
