use super::*;
use crate::command::parse;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Words for the first `count` arguments.
fn words(info: &CommandInfo, count: usize) -> Vec<String> {
    let word = |argument: &Argument| match argument.kind {
        Kind::Number => "7",
        Kind::View => Kind::SCREEN,
        Kind::Vm | Kind::Spec | Kind::NewName | Kind::Part => "word",
    };
    let words = info.arguments.iter().map(word).map(String::from);
    words.chain(["more".into()]).take(count).collect()
}

/// Returns the name of a command in its serialized form.
fn name(command: &Command) -> String {
    match serde_json::to_value(command).expect("plain data") {
        serde_json::Value::String(name) => name,
        serde_json::Value::Object(fields) => fields.keys().cloned().collect(),
        other @ (serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::Array(_)) => panic!("a command is no {other:?}"),
    }
}

#[test]
fn each_entry_makes_the_command_of_its_name() {
    for info in &COMMANDS {
        let all = words(info, info.arguments.len());
        let command = parse(info.name, &all, false).expect("as the table has it");
        assert_eq!(name(&command), info.name);
    }
}

#[test]
fn the_table_has_every_command() {
    let error = serde_json::from_str::<Command>("\"nonsense\"").expect_err("it is none");
    let error = format!("{error}");
    // Serde names all variants: "unknown variant `nonsense`, expected one of `vms`, `top`, …".
    let variants: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    let names: Vec<&str> = COMMANDS.iter().map(|info| info.name).collect();
    assert_eq!(names, variants, "{error}");
}

#[test]
fn each_entry_takes_the_arguments_it_names() {
    for info in &COMMANDS {
        let needed = info.arguments.iter().filter(|it| !it.is_optional).count();
        let max = info.arguments.len();
        for count in needed..=max {
            assert!(parse(info.name, &words(info, count), false).is_ok());
        }
        for count in 0..needed {
            let missing = Mistake::Missing(&info.arguments[count]);
            assert_eq!(parse(info.name, &words(info, count), false), Err(missing));
        }
        let too_many = match max {
            0 => Mistake::StandsAlone,
            _ => Mistake::TooMany("more".into()),
        };
        let words = words(info, max + 1);
        assert_eq!(parse(info.name, &words, false), Err(too_many));
    }
}

#[test]
fn each_argument_is_of_its_kind() {
    for info in &COMMANDS {
        for (at, argument) in info.arguments.iter().enumerate() {
            let mut words = words(info, info.arguments.len());
            words[at] = "7x".into();
            let wanted = match argument.kind {
                Kind::Number => Some(Mistake::NotANumber("7x".into())),
                Kind::View => Some(Mistake::NoView("7x".into())),
                Kind::Vm | Kind::Spec | Kind::NewName | Kind::Part => None,
            };
            assert_eq!(parse(info.name, &words, false).err(), wanted);
        }
    }
}
