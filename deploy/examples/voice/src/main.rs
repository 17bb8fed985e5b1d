//! motet with the task `detect_speech` beside its own.

fn main() -> motet::Exit {
    motet::App::new()
        .name("voice")
        .about("motet with Akiki: where in a recording somebody speaks.")
        .task::<motet_example_voice::DetectSpeech>()
        .run()
}
