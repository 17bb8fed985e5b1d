#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! * `port`: [`Port`], an input of a pipeline, and its type.
//! * `value`: JSON values, and texts of cells, as values of a type.
//! * `binding`: [`Binding`], the columns that feed ports; `mistake`: what is wrong with it.
//! * `failure`: [`Failure`] of a call, its [`Code`], and the [`RowError`] of a row.
//! * `retry`: [`RetryPolicy`], and the [`Cause`] of a failure.
//! * `pace`: [`Pace`].
//! * `pipeline`: [`Pipeline`] and [`answer`].

mod binding;
mod failure;
mod mistake;
mod pace;
mod pipeline;
mod port;
mod retry;
mod value;

pub use binding::{Binding, Row, columns_of, hint};
pub use failure::{Code, Failure, RowError};
pub use mistake::{Mistake, Mistakes};
pub use pace::{Pace, PaceLimits};
pub use pipeline::{Answer, NoAnswer, Pipeline, answer};
pub use port::{Element, Port, PortType, PortTypeError};
pub use retry::{Cause, Next, RetryPolicy, Tries};
