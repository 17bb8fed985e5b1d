//! Quality of embedding models on real tasks, through gRPC:
//!
//!     cargo run --release -p motet-tests --example quality -- [--sts FILE.csv]
//!         [--cranfield FOLDER] [--address HOST:PORT] [MODEL[=PREFIX]]...
//!
//! `--sts` prints Spearman's correlation of the cosines of pairs of sentences with people's scores;
//! `--cranfield` nDCG@10 of the documents by cosine, and of the 50 nearest in the order of the
//! built-in pipeline where its model is among those measured.
//!
//! FILE.csv has `sentence,sentence,score` lines, as the STS benchmark of `stsb-multi-mt`. FOLDER
//! has the collection's files cran.all.1400, cran.qry and cranqrel. PREFIX, such as `query: `, goes
//! before each sentence and query, and with `passage: ` in place of `query: ` before documents.
//! Without models: `minilm`. Without an address, motet is started in this process with its built-in
//! configuration.

mod cranfield;
mod sts;

use std::path::PathBuf;

use clap::Parser;
use motet_tests::connection::Connection;
use motet_tests::in_process;
use motet_tests::tensors::{floats, raw, texts};

/// The number of texts in one embedding call.
const TEXTS_PER_CALL: usize = 32;
/// The model that the built-in pipeline calls.
const BUILTIN: &str = "minilm";

#[derive(Parser)]
struct Args {
    /// Pairs of sentences with scores.
    #[arg(long)]
    sts: Option<PathBuf>,
    /// Folder of the Cranfield collection.
    #[arg(long)]
    cranfield: Option<PathBuf>,
    /// Address of a server with the models.
    #[arg(long)]
    address: Option<std::net::SocketAddr>,
    /// Models, with what is written before each text.
    #[arg(default_value = BUILTIN)]
    models: Vec<String>,
}

/// A model under measurement.
pub(crate) struct Embedder<'c> {
    connection: &'c Connection,
    model: &'c str,
    prefix: &'c str,
}

impl<'c> Embedder<'c> {
    fn new(connection: &'c Connection, argument: &'c str) -> Self {
        let (model, prefix) = argument.split_once('=').unwrap_or((argument, ""));
        Self {
            connection,
            model,
            prefix,
        }
    }

    /// Returns the vectors of sentences or queries, of length 1.
    pub(crate) async fn queries(&self, all: &[String]) -> Vec<Vec<f32>> {
        self.embed(all, self.prefix).await
    }

    /// Returns the vectors of documents, of length 1.
    pub(crate) async fn documents(&self, all: &[String]) -> Vec<Vec<f32>> {
        self.embed(all, &self.prefix.replace("query: ", "passage: "))
            .await
    }

    async fn embed(&self, all: &[String], prefix: &str) -> Vec<Vec<f32>> {
        let mut vectors = Vec::with_capacity(all.len());
        for some in all.chunks(TEXTS_PER_CALL) {
            let prefixed: Vec<String> = some.iter().map(|text| format!("{prefix}{text}")).collect();
            let request = raw(self.model, &[("text", texts(&prefixed))]);
            let answer = self.connection.inference().model_infer(request).await;
            let numbers = floats(&answer.expect("an answer").into_inner(), "embedding");
            let size = numbers.len() / some.len();
            vectors.extend(numbers.chunks(size).map(normalized));
        }
        vectors
    }
}

fn normalized(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let connection = match args.address {
        Some(address) => Connection::open(address).await,
        None => in_process::connect().await,
    };
    let pairs = args.sts.as_deref().map(sts::Pairs::read);
    let collection = args.cranfield.as_deref().map(cranfield::Collection::read);
    println!("| model | STS, Spearman | Cranfield, nDCG@10 |");
    println!("|---|---|---|");
    for argument in &args.models {
        let embedder = Embedder::new(&connection, argument);
        let correlation = match &pairs {
            Some(pairs) => format!("{:.4}", pairs.correlation(&embedder).await),
            None => String::new(),
        };
        let retrieval = match &collection {
            Some(collection) => format!("{:.4}", collection.by_cosine(&embedder).await),
            None => String::new(),
        };
        println!("| {argument} | {correlation} | {retrieval} |");
    }
    let is_builtin = args.models.iter().any(|model| model == BUILTIN);
    if let Some(collection) = collection.filter(|_| is_builtin) {
        let embedder = Embedder::new(&connection, BUILTIN);
        if let Some(found) = collection.by_pipeline(&embedder).await {
            println!("| pipeline rag | | {found:.4} |");
        }
    }
}
