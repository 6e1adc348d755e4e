//! Values of the file, each read as what it must be.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::SpecError;
use crate::nearest::nearest;
use crate::size::parse_size;

/// A key the file may have: its name and a line that would be right.
pub(crate) type Known = (&'static str, &'static str);

/// One `key = value` of the file, with all that an error about it needs.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'t> {
    text: &'t str,
    key: &'t Spanned<DeString<'t>>,
    value: &'t Spanned<DeValue<'t>>,
    example: &'static str,
}

/// The entries of a table, in the order of the file.
///
/// # Errors
/// An unknown key, with the known one it resembles.
pub(crate) fn entries<'t>(
    text: &'t str,
    table: &'t DeTable<'t>,
    name: &str,
    known: &'static [Known],
) -> Result<Vec<Entry<'t>>, SpecError> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
        .into_iter()
        .map(|(key, value)| {
            match known
                .iter()
                .find(|(known, _)| *known == key.get_ref().as_ref())
            {
                Some((_, example)) => Ok(Entry {
                    text,
                    key,
                    value,
                    example,
                }),
                None => Err(unknown_key(text, key, name, known)),
            }
        })
        .collect()
}

fn unknown_key(text: &str, key: &Spanned<DeString<'_>>, table: &str, known: &[Known]) -> SpecError {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let word = printable(key.get_ref());
    let hint = match nearest(&word, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{table} may have: {}", names.join(", ")),
    };
    SpecError::new(
        text,
        key.span(),
        format!("{table} has no key `{word}`"),
        hint,
    )
}

impl<'t> Entry<'t> {
    /// The name of the key.
    pub(crate) fn name(&self) -> &'t str {
        self.key.get_ref().as_ref()
    }

    /// Where the key stands.
    pub(crate) fn key_span(&self) -> Range<usize> {
        self.key.span()
    }

    /// An error about the value; the hint is a line that would be right.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> SpecError {
        self.wrong_at(self.value.span(), message)
    }

    fn wrong_at(&self, span: Range<usize>, message: impl Into<String>) -> SpecError {
        SpecError::new(
            self.text,
            span,
            message,
            format!("for example: {}", self.example),
        )
    }

    fn wrong_type(&self, value: &Spanned<DeValue<'_>>, wanted: &str) -> SpecError {
        let found = match value.get_ref() {
            DeValue::String(_) => "a text in quotes",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.wrong_at(
            value.span(),
            format!("`{}` must be {wanted}, this is {found}", self.name()),
        )
    }

    /// A text in quotes.
    pub(crate) fn text(&self) -> Result<&'t str, SpecError> {
        self.text_of(self.value)
    }

    fn text_of(&self, value: &'t Spanned<DeValue<'t>>) -> Result<&'t str, SpecError> {
        let DeValue::String(text) = value.get_ref() else {
            return Err(self.wrong_type(value, "a text in quotes"));
        };
        Ok(text.as_ref())
    }

    /// True or false.
    pub(crate) fn boolean(&self) -> Result<bool, SpecError> {
        let DeValue::Boolean(value) = self.value.get_ref() else {
            return Err(self.wrong_type(self.value, "true or false"));
        };
        Ok(*value)
    }

    /// A whole number of `allowed`.
    pub(crate) fn number(&self, allowed: Range<u64>) -> Result<u64, SpecError> {
        self.number_of(self.value, allowed)
    }

    fn number_of(
        &self,
        value: &Spanned<DeValue<'_>>,
        allowed: Range<u64>,
    ) -> Result<u64, SpecError> {
        let DeValue::Integer(digits) = value.get_ref() else {
            return Err(self.wrong_type(value, "a whole number"));
        };
        let number = u64::from_str_radix(digits.as_str(), digits.radix()).ok();
        number
            .filter(|number| allowed.contains(number))
            .ok_or_else(|| {
                let last = allowed.end.saturating_sub(1);
                self.wrong_at(
                    value.span(),
                    format!("`{}` must be {} to {last}", self.name(), allowed.start),
                )
            })
    }

    /// A list of different whole numbers of `allowed`, not empty.
    pub(crate) fn numbers(&self, allowed: Range<u64>) -> Result<Vec<u64>, SpecError> {
        let mut numbers = Vec::new();
        for value in self.list("a list of whole numbers")? {
            let number = self.number_of(value, allowed.clone())?;
            if numbers.contains(&number) {
                return Err(self.wrong_at(
                    value.span(),
                    format!("`{}` names {number} twice", self.name()),
                ));
            }
            numbers.push(number);
        }
        if numbers.is_empty() {
            Err(self.wrong(format!("`{}` is empty", self.name())))
        } else {
            Ok(numbers)
        }
    }

    /// A size in bytes.
    pub(crate) fn size(&self) -> Result<u64, SpecError> {
        let size = match self.value.get_ref() {
            DeValue::String(text) => parse_size(text),
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => return Err(self.wrong_type(self.value, "a size")),
        };
        size.ok_or_else(|| {
            self.wrong(format!(
                "`{}` is not a size: a number and K, M, G or T",
                self.name()
            ))
        })
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, SpecError> {
        self.choice_of(self.value, choices)
    }

    /// A list of different words of a few.
    pub(crate) fn choices<T: Copy + PartialEq>(
        &self,
        choices: &[(&str, T)],
    ) -> Result<Vec<T>, SpecError> {
        let mut chosen = Vec::new();
        for value in self.list("a list of texts")? {
            let choice = self.choice_of(value, choices)?;
            if chosen.contains(&choice) {
                return Err(
                    self.wrong_at(value.span(), format!("`{}` has this twice", self.name()))
                );
            }
            chosen.push(choice);
        }
        Ok(chosen)
    }

    fn choice_of<T: Copy>(
        &self,
        value: &'t Spanned<DeValue<'t>>,
        choices: &[(&str, T)],
    ) -> Result<T, SpecError> {
        let word = self.text_of(value)?;
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == word) {
            return Ok(*choice);
        }
        let names: Vec<String> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let message = format!("`{}` cannot be \"{}\"", self.name(), printable(word));
        Err(SpecError::new(
            self.text,
            value.span(),
            message,
            format!("one of: {}", names.join(", ")),
        ))
    }

    fn list(&self, wanted: &str) -> Result<&'t [Spanned<DeValue<'t>>], SpecError> {
        let DeValue::Array(values) = self.value.get_ref() else {
            return Err(self.wrong_type(self.value, wanted));
        };
        Ok(values)
    }

    /// A table.
    pub(crate) fn table(&self) -> Result<&'t DeTable<'t>, SpecError> {
        self.table_of(self.value, "a table")
    }

    /// A list of tables, each with where it stands.
    pub(crate) fn tables(&self) -> Result<Vec<(Range<usize>, &'t DeTable<'t>)>, SpecError> {
        let wanted = "written as [[...]], once for each";
        self.list(wanted)?
            .iter()
            .map(|value| Ok((value.span(), self.table_of(value, wanted)?)))
            .collect()
    }

    fn table_of(
        &self,
        value: &'t Spanned<DeValue<'t>>,
        wanted: &str,
    ) -> Result<&'t DeTable<'t>, SpecError> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong_type(value, wanted));
        };
        Ok(table)
    }

    /// A list of files on the boot volume, each with a text behind its path.
    pub(crate) fn paths_with_text(&self) -> Result<Vec<(String, String)>, SpecError> {
        self.list("a list of texts")?
            .iter()
            .map(|value| {
                let text = self.text_of(value)?;
                let (path, rest) = text.split_once(' ').unwrap_or((text, ""));
                if rest.contains('\0') {
                    return Err(self.wrong_at(value.span(), "the text has a zero byte"));
                }
                Ok((self.path_of(path)?, rest.trim().to_string()))
            })
            .collect()
    }

    /// The path of a file on the boot volume, from its root, with forward slashes.
    pub(crate) fn path(&self) -> Result<String, SpecError> {
        self.path_of(self.text()?)
    }

    fn path_of(&self, path: &str) -> Result<String, SpecError> {
        let complaint = if path.is_empty() {
            "is empty"
        } else if path.contains('\\') {
            "has a backslash: directories are separated by /"
        } else if path.starts_with('/') {
            "starts with /: paths start at the root of the boot volume by themselves"
        } else if path.split('/').any(|part| part == ".." || part == ".") {
            "has a part `.` or `..`"
        } else if path.split('/').any(str::is_empty) {
            "has an empty part"
        } else if path.len() > 255 {
            "is longer than 255 bytes"
        } else if path
            .chars()
            .any(|c| c.is_control() || "\"*:<>?|".contains(c))
        {
            "has a character that file names on the boot volume cannot have"
        } else {
            return Ok(path.to_string());
        };
        Err(self.wrong(format!("path of `{}` {complaint}", self.name())))
    }
}

/// A word of the file, fit to be shown in a message.
pub(crate) fn printable(word: &str) -> String {
    word.chars()
        .take(40)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
