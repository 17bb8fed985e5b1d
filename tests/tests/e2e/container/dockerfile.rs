//! deploy/Dockerfile, read.

use motet_tests::repository;

/// A stage of a Dockerfile.
#[derive(Debug)]
pub(super) struct Stage {
    /// Returns the text after FROM.
    pub(super) image: String,
    /// The instructions after it: the word, and what follows it.
    pub(super) instructions: Vec<(String, String)>,
}

/// Returns the stages of deploy/Dockerfile.
pub(super) fn stages() -> Vec<Stage> {
    parse(&std::fs::read_to_string(repository().join("deploy/Dockerfile")).unwrap())
}

fn parse(text: &str) -> Vec<Stage> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut stages: Vec<Stage> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (word, rest) = line.split_once(' ').expect("an instruction");
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        match stages.last_mut() {
            _ if word == "FROM" => stages.push(Stage {
                image: rest.split(' ').next().unwrap_or_default().to_owned(),
                instructions: Vec::new(),
            }),
            Some(stage) => stage.instructions.push((word.to_owned(), rest)),
            None => panic!("{line:?} is before the first FROM"),
        }
    }
    stages
}

impl Stage {
    /// Returns the text after the last instruction with this word.
    pub(super) fn last(&self, word: &str) -> &str {
        let found = self.instructions.iter().rev().find(|(w, _)| w == word);
        &found.unwrap_or_else(|| panic!("no {word}")).1
    }

    /// Returns the variables of all ENV instructions.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        let env = self.instructions.iter().filter(|(word, _)| word == "ENV");
        let pairs = env.flat_map(|(_, rest)| rest.split(' '));
        let pairs = pairs.map(|pair| pair.split_once('=').expect("NAME=VALUE"));
        pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    /// Returns the Debian release that the image's tag names.
    pub(super) fn release(&self) -> &str {
        let tag = self.image.split_once(':').expect("a tag").1;
        let words = tag.split('-').filter(|word| *word != "slim");
        let name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
        words.rev().find(name).expect("the tag names a release")
    }
}

/// Returns a command in the exec form: `["motet", "health"]`, after options.
pub(super) fn exec(text: &str) -> Vec<String> {
    let list = text.find('[').map(|start| &text[start..]);
    serde_json::from_str(list.expect("the exec form")).expect("a list of strings")
}
