//! Tests of the whole operator: of what is typed in a session, and what is seen there.

mod commands;
mod completion;
mod console;
mod ends;
mod floods;
mod machine;
mod operator;
mod screen;
mod sessions;
mod shell;
mod typing;
