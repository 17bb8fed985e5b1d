//! The program `motet`.

fn main() -> motet::Exit {
    motet::App::new().run()
}
