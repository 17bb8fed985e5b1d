//! Lengths and which of them are one: union-find over dimensions, keeping where each fact is from.

use motet_config::Span;

/// A dimension of some value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DimId(usize);

/// Where a fact about a dimension comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FactOrigin {
    pub(crate) span: Span,
    /// Description of the place, such as `` `embedding` of `q` is float[N,384] ``.
    pub(crate) words: String,
}

/// A fact and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact<T> {
    pub(crate) value: T,
    pub(crate) origin: FactOrigin,
}

/// Two dimensions that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// Both are fixed, differently.
    Sizes(Box<[Fact<usize>; 2]>),
    /// Both are lengths that a request decides, independently of each other.
    Lengths(Box<[Fact<String>; 2]>),
}

/// Facts of a class of equal dimensions.
#[derive(Debug, Clone, Default)]
struct Class {
    fixed: Option<Fact<usize>>,
    /// A length that a request or a node's work decides: another such length is another length.
    own: Option<Fact<String>>,
    /// The name of a length that is known only at run time, and may prove to be any other.
    loose: Option<String>,
    /// The first dimension of the class.
    first: usize,
}

/// A dimension that is known, for the checked pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DimFacts {
    /// The class, the same for dimensions that are one.
    pub(crate) class: DimId,
    /// The name, if the length is known only at run time.
    pub(crate) name: Option<String>,
    pub(crate) fixed: Option<usize>,
}

/// All dimensions of a pipeline.
#[derive(Debug, Clone, Default)]
pub(crate) struct DimTable {
    parents: Vec<usize>,
    classes: Vec<Class>,
}

impl DimTable {
    fn add(&mut self, mut class: Class) -> DimId {
        class.first = self.parents.len();
        self.parents.push(self.parents.len());
        self.classes.push(class);
        DimId(self.parents.len() - 1)
    }

    /// A dimension of a fixed size.
    pub(crate) fn fixed(&mut self, size: usize, origin: FactOrigin) -> DimId {
        self.add(Class {
            fixed: Some(Fact {
                value: size,
                origin,
            }),
            ..Class::default()
        })
    }

    /// A length that is no other length that has an own name.
    pub(crate) fn rigid(&mut self, name: String, origin: FactOrigin) -> DimId {
        self.add(Class {
            own: Some(Fact {
                value: name,
                origin,
            }),
            ..Class::default()
        })
    }

    /// A length known at run time that may prove to be any other.
    pub(crate) fn flexible(&mut self, name: String) -> DimId {
        self.add(Class {
            loose: Some(name),
            ..Class::default()
        })
    }

    /// A moment to ask about with [`DimTable::is_rigid_since`].
    pub(crate) fn generation(&self) -> usize {
        self.parents.len()
    }

    /// Returns `true` if the length is decided by a node, and first occurred after `mark`.
    pub(crate) fn is_rigid_since(&mut self, id: DimId, mark: usize) -> bool {
        let root = self.root(id);
        let class = &self.classes[root];
        class.own.is_some() && class.fixed.is_none() && class.first >= mark
    }

    fn root(&mut self, id: DimId) -> usize {
        let mut at = id.0;
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    /// Makes two dimensions one.
    ///
    /// # Errors
    /// They cannot be; nothing is changed then.
    pub(crate) fn unify(&mut self, left: DimId, right: DimId) -> Result<(), Conflict> {
        self.compatible(left, right)?;
        let (left, right) = (self.root(left), self.root(right));
        if left == right {
            return Ok(());
        }
        let gone = std::mem::take(&mut self.classes[right]);
        let class = &mut self.classes[left];
        class.fixed = class.fixed.take().or(gone.fixed);
        class.own = class.own.take().or(gone.own);
        class.loose = class.loose.take().or(gone.loose);
        class.first = class.first.min(gone.first);
        self.parents[right] = left;
        Ok(())
    }

    /// Checks that two dimensions can be equal.
    ///
    /// # Errors
    /// They cannot.
    pub(crate) fn compatible(&mut self, left: DimId, right: DimId) -> Result<(), Conflict> {
        let (left, right) = (self.root(left), self.root(right));
        if left == right {
            return Ok(());
        }
        let (a, b) = (&self.classes[left], &self.classes[right]);
        if let (Some(a), Some(b)) = (&a.fixed, &b.fixed)
            && a.value != b.value
        {
            return Err(Conflict::Sizes(Box::new([a.clone(), b.clone()])));
        }
        if let (Some(a), Some(b)) = (&a.own, &b.own) {
            return Err(Conflict::Lengths(Box::new([a.clone(), b.clone()])));
        }
        Ok(())
    }

    /// Returns the facts of a dimension.
    pub(crate) fn known(&mut self, id: DimId) -> DimFacts {
        let root = self.root(id);
        let class = &self.classes[root];
        DimFacts {
            class: DimId(root),
            name: class
                .own
                .as_ref()
                .map(|f| f.value.clone())
                .or_else(|| class.loose.clone()),
            fixed: class.fixed.as_ref().map(|f| f.value),
        }
    }

    /// The dimension in a message.
    pub(crate) fn show(&mut self, id: DimId) -> String {
        let known = self.known(id);
        known
            .name
            .or_else(|| known.fixed.map(|n| n.to_string()))
            .unwrap_or_else(|| "?".to_owned())
    }
}
