//! Whole-operator stories: what is typed at the console, and what is seen there.

mod commands;
mod console;
mod ends;
mod machine;
mod operator;
mod screen;
mod sessions;
mod shell;
mod typing;
