//! Parts on a board, without a VM that runs.

mod lines;
mod pc;
mod queues;
