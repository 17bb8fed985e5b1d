//! A server of models, with a task of its own beside those that come with motet.

use my_models::Rank;

fn main() -> motet::Exit {
    motet::App::new()
        .name("my-models")
        .about("Serves the models of my-models.")
        .version(env!("CARGO_PKG_VERSION"))
        .task::<Rank>()
        .run()
}
