//! Every input that is kept, and some changed ones of each target.

use motet_fuzz::targets::{TARGETS, Target};
use motet_fuzz::{corpus, mutate};

/// Changed inputs of each target.
const CASES: u32 = 100;

fn replay(target: &Target) {
    let inputs = corpus::inputs(target.name).unwrap();
    for (name, input) in &inputs {
        println!("{}/{name}", target.name);
        (target.run)(input);
    }
    let inputs: Vec<Vec<u8>> = inputs.into_iter().map(|(_, bytes)| bytes).collect();
    if let Err(error) = mutate::run(&inputs, 1, CASES, target.run) {
        panic!("{}: {error}", target.name);
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let name = stringify!($name);
            replay(TARGETS.iter().find(|target| target.name == name).unwrap());
        })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(targets, replayed);
        }
    };
}

replays! {
    configuration
    pipeline
    condition
    template
    oip_request
    typed_request
    raw_tensor
    descriptors
    safetensors
    tokenizer
    image
}
