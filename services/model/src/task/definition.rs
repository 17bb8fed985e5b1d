//! [`Task`]: from the keys of a configuration to a model in memory.

use std::error::Error;

use motet_proto::signature::Signature;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CheckContext, Facts, LoadContext, LoadedModel, Problem};

/// Any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A task that models of a configuration can have: `task: NAME`.
///
/// A configuration is checked before anything is loaded: its keys are read into
/// [`Config`](Self::Config), [`check`](Self::check) compares them with the model's files, of which
/// it reads no more than headers, and says which tensors the model takes and gives. Then
/// [`load`](Self::load) makes a [`LoadedModel`] of it, behind a batcher of its own.
///
/// ```
/// use motet_service::task::{
///     Answer, BatchError, BoxError, CheckContext, ElementType, LoadContext, LoadedModel,
///     PreparedRows, Problem, Request, RowError, Signature, Task, Tensor, Worker, input, output,
/// };
///
/// /// Adds a constant to numbers.
/// #[derive(Clone, serde::Deserialize)]
/// struct Add {
///     constant: f32,
/// }
///
/// impl Task for Add {
///     const NAME: &'static str = "add";
///     const ABOUT: &'static str = "adds a constant to numbers";
///     type Config = Self;
///     type Checked = Self;
///     type Model = Self;
///
///     fn check(keys: &Self, _: &CheckContext<'_>) -> Result<(Signature, Self), Vec<Problem>> {
///         let signature = Signature {
///             inputs: vec![input("x", ElementType::F32, ["N"])],
///             outputs: vec![output("sum", ElementType::F32, ["N"])],
///             parameters: Vec::new(),
///         };
///         Ok((signature, keys.clone()))
///     }
///
///     fn load(keys: Self, _: &LoadContext) -> Result<Self, BoxError> {
///         Ok(keys)
///     }
/// }
///
/// impl LoadedModel for Add {
///     type Row = f32;
///     type Output = f32;
///     type Call = Request;
///     type Part = ();
///
///     fn begin(&self, request: Request) -> Result<Request, tonic::Status> {
///         Ok(request)
///     }
///
///     fn rows(
///         &self,
///         call: &Request,
///         _: std::ops::Range<usize>,
///     ) -> Result<PreparedRows<f32, f32, ()>, tonic::Status> {
///         Ok(call.values::<f32>("x")?.iter().map(|x| (*x, 1)).collect())
///     }
///
///     fn run(
///         &self,
///         rows: &[&f32],
///         _: &Worker<'_>,
///     ) -> Result<Vec<Result<f32, RowError>>, BatchError> {
///         Ok(rows.iter().map(|x| Ok(**x + self.constant)).collect())
///     }
///
///     fn answer(&self, _: &Request, _: Vec<()>, rows: Vec<f32>) -> Result<Answer, tonic::Status> {
///         let sum = Tensor::from_values(vec![rows.len()], rows);
///         Ok(Answer::new([("sum", sum.expect("one value for each row"))]))
///     }
/// }
///
/// let tasks = motet_service::Tasks::builtin().with::<Add>()?;
/// assert_eq!(tasks.find("add").map(|task| task.about()), Some("adds a constant to numbers"));
/// # Ok::<(), motet_service::task::TaskNameError>(())
/// ```
pub trait Task: Send + Sync + 'static {
    /// The word in the configuration: `[a-z][a-z0-9_]*`.
    const NAME: &'static str;

    /// A description of the task in one line.
    const ABOUT: &'static str;

    /// The keys of models that mean something for the task; all by default.
    const MODEL_KEYS: &'static [&'static str] =
        &["source", "device", "dtype", "threads", "batcher"];

    /// `true` if a model needs the key `source`.
    const NEEDS_SOURCE: bool = false;

    /// The unit in which rows have their cost, as a word in the plural: `tokens`, `images`,
    /// `frames`. It stands beside sums of costs wherever people read them.
    const UNIT: &'static str = "tokens";

    /// Name of a group of tasks that one model may have at once, as `tasks: [...]`. The first of
    /// the list is asked for all of them: [`CheckContext::tasks`].
    const GROUP: Option<&'static str> = None;

    /// The keys of the task's own, a struct that derives `Deserialize`. A key that is missing, of
    /// another type or misspelt is reported with its line.
    type Config: DeserializeOwned + Send + Sync + 'static;

    /// A configuration that was checked, and what loading takes of the check.
    type Checked: Clone + Send + Sync + 'static;

    /// A loaded model.
    type Model: LoadedModel;

    /// Returns the names of the task's own keys; those of [`Config`](Self::Config) by default.
    fn keys() -> &'static [&'static str] {
        motet_config::structs::fields::<Self::Config>()
    }

    /// Returns the JSON schema of one of the task's own keys, for editors; by default anything
    /// goes.
    fn key_schema(key: &str) -> Value {
        let _ = key;
        Value::Bool(true)
    }

    /// Checks a configuration against the model's files. Returns the ports and parameters of the
    /// model.
    ///
    /// # Errors
    /// Every mistake that can be found without reading weights. An empty list says that the mistake
    /// is reported elsewhere.
    fn check(
        config: &Self::Config,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, Self::Checked), Vec<Problem>>;

    /// Returns what is known of a model before it is loaded, for people. Of the weights, headers
    /// are read.
    ///
    /// # Errors
    /// Files that cannot be read, or a device that is not there.
    fn facts(checked: &Self::Checked) -> Result<Facts, BoxError> {
        let _ = checked;
        Ok(Facts::default())
    }

    /// Loads a model, on a thread where it may block.
    ///
    /// # Errors
    /// Any reason for which the model cannot run; it becomes the end of one line.
    fn load(checked: Self::Checked, context: &LoadContext) -> Result<Self::Model, BoxError>;
}
