//! The instructions of a pickle that lists tensors.

use std::collections::HashMap;

/// Number of an object.
pub(super) type Id = usize;

/// A value that a program makes.
#[derive(Debug)]
pub(super) enum Object {
    /// Where the parts of a tuple or a dictionary begin on the stack.
    Mark,
    /// Nothing, truth values and numbers with a point, none of which is looked at.
    Other,
    Number(i64),
    Text(String),
    /// A class or function by its name, module first.
    Class(String),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// Bytes elsewhere, by a tuple that says which.
    Storage(Id),
    /// A call that the program would make.
    Call {
        class: Id,
        arguments: Id,
    },
}

/// All objects of a program that has run, and which of them is its result.
#[derive(Debug, Default)]
pub(super) struct Program {
    objects: Vec<Object>,
    stack: Vec<Id>,
    memo: HashMap<u32, Id>,
}

impl Program {
    /// Follows a program to its end. Each instruction makes one object at most.
    ///
    /// # Errors
    /// An instruction that is not known, and a program that ends too early.
    pub(super) fn run(mut bytes: &[u8]) -> Result<Self, String> {
        let mut program = Self::default();
        while program.step(&mut bytes)? {}
        Ok(program)
    }

    /// Returns the result.
    pub(super) fn result(&self) -> &Object {
        self.stack
            .last()
            .map_or(&Object::Other, |id| self.object(*id))
    }

    pub(super) fn object(&self, id: Id) -> &Object {
        &self.objects[id]
    }

    /// Returns the name and the arguments of a call.
    pub(super) fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        let Object::Call { class, arguments } = self.object(id) else {
            return None;
        };
        let Object::Class(class) = self.object(*class) else {
            return None;
        };
        Some((class, self.tuple(*arguments)?))
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.object(id) {
            Object::Tuple(parts) => Some(parts),
            _ => None,
        }
    }

    pub(super) fn number(&self, id: Id) -> Option<usize> {
        match self.object(id) {
            Object::Number(number) => (*number).try_into().ok(),
            _ => None,
        }
    }

    pub(super) fn numbers(&self, id: Id) -> Option<Vec<usize>> {
        let parts = self.tuple(id)?.iter();
        parts.map(|part| self.number(*part)).collect()
    }

    /// Follows an instruction; returns whether the program goes on.
    fn step(&mut self, bytes: &mut &[u8]) -> Result<bool, String> {
        let [code] = take(bytes)?;
        match code {
            // The version of the format.
            0x80 => {
                let [_] = take(bytes)?;
            }
            b'c' => {
                let (module, name) = (line(bytes)?, line(bytes)?);
                self.push(Object::Class(format!("{module}.{name}")));
            }
            b'K' => {
                let number = take(bytes)?;
                self.push(Object::Number(u8::from_le_bytes(number).into()));
            }
            b'M' => {
                let number = take(bytes)?;
                self.push(Object::Number(u16::from_le_bytes(number).into()));
            }
            b'J' => {
                let number = take(bytes)?;
                self.push(Object::Number(i32::from_le_bytes(number).into()));
            }
            0x8a => {
                let [len] = take(bytes)?;
                let digits = slice(bytes, len.into())?;
                let number = long(digits).ok_or("a number is too large")?;
                self.push(Object::Number(number));
            }
            b'X' => {
                let len = u32::from_le_bytes(take(bytes)?);
                let text = slice(bytes, len as usize)?;
                let text = std::str::from_utf8(text).map_err(|cause| cause.to_string())?;
                self.push(Object::Text(text.to_owned()));
            }
            b'G' => {
                let [_, _, _, _, _, _, _, _] = take(bytes)?;
                self.push(Object::Other);
            }
            b'N' | 0x88 | 0x89 => self.push(Object::Other),
            b'(' => self.push(Object::Mark),
            b')' => self.push(Object::Tuple(Vec::new())),
            b'}' => self.push(Object::Dict(Vec::new())),
            b't' => {
                let parts = self.take_marked()?;
                self.push(Object::Tuple(parts));
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let start = self.stack.len().checked_sub(count).ok_or(BROKEN)?;
                let parts = self.stack.split_off(start);
                self.push(Object::Tuple(parts));
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(&[key, value])?;
            }
            b'u' => {
                let parts = self.take_marked()?;
                self.insert(&parts)?;
            }
            b'Q' => {
                let storage = self.pop()?;
                self.push(Object::Storage(storage));
            }
            b'R' => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                let is_dict = matches!(self.object(class), Object::Class(name)
                    if name == "collections.OrderedDict");
                self.push(match is_dict {
                    true => Object::Dict(Vec::new()),
                    false => Object::Call { class, arguments },
                });
            }
            // The state of an object, such as a version: what it belongs to stays.
            b'b' => {
                self.pop()?;
            }
            b'q' => {
                let [place] = take(bytes)?;
                self.remember(place.into())?;
            }
            b'r' => {
                let place = u32::from_le_bytes(take(bytes)?);
                self.remember(place)?;
            }
            b'h' => {
                let [place] = take(bytes)?;
                self.recall(place.into())?;
            }
            b'j' => {
                let place = u32::from_le_bytes(take(bytes)?);
                self.recall(place)?;
            }
            b'.' => return Ok(false),
            code => {
                return Err(format!(
                    "its pickle has an instruction ({code:#04x}) of others \
                                        than tensors"
                ));
            }
        }
        Ok(true)
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or(BROKEN.to_owned())
    }

    /// Takes what is on the stack after the last mark, and the mark.
    fn take_marked(&mut self) -> Result<Vec<Id>, String> {
        let is_mark = |id: &Id| matches!(self.object(*id), Object::Mark);
        let mark = self.stack.iter().rposition(is_mark).ok_or(BROKEN)?;
        let parts = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(parts)
    }

    /// Adds keys and values, one after the other, to the dictionary on the stack.
    fn insert(&mut self, parts: &[Id]) -> Result<(), String> {
        let last = self.stack.last().map(|id| &mut self.objects[*id]);
        let (Some(Object::Dict(entries)), (pairs, [])) = (last, parts.as_chunks::<2>()) else {
            return Err(BROKEN.to_owned());
        };
        entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    fn remember(&mut self, place: u32) -> Result<(), String> {
        let last = *self.stack.last().ok_or(BROKEN)?;
        self.memo.insert(place, last);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), String> {
        let id = *self.memo.get(&place).ok_or(BROKEN)?;
        self.stack.push(id);
        Ok(())
    }
}

/// Error of a program that takes what it did not make.
const BROKEN: &str = "its pickle is broken";

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], String> {
    let (first, rest) = bytes.split_first_chunk().ok_or(BROKEN)?;
    *bytes = rest;
    Ok(*first)
}

fn slice<'b>(bytes: &mut &'b [u8], len: usize) -> Result<&'b [u8], String> {
    let (first, rest) = bytes.split_at_checked(len).ok_or(BROKEN)?;
    *bytes = rest;
    Ok(first)
}

fn line<'b>(bytes: &mut &'b [u8]) -> Result<&'b str, String> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(BROKEN)?;
    let line = slice(bytes, end)?;
    let [_] = take(bytes)?;
    std::str::from_utf8(line).map_err(|cause| cause.to_string())
}

/// Returns a number of up to eight bytes, the lowest first.
fn long(digits: &[u8]) -> Option<i64> {
    let is_negative = digits.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut bytes = [if is_negative { 0xff } else { 0 }; 8];
    bytes.get_mut(..digits.len())?.copy_from_slice(digits);
    Some(i64::from_le_bytes(bytes))
}
