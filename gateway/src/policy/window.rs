//! A window over the latest values of a series.

/// The latest values of a series, at most `capacity` of them.
///
/// ```
/// use motet_gateway::policy::window::Window;
///
/// let mut window = Window::new(2);
/// (1..=3).for_each(|value| window.push(value));
/// assert_eq!(window.iter().sum::<i32>(), 2 + 3);
/// ```
#[derive(Debug, Clone)]
pub struct Window<T> {
    values: Vec<T>,
    capacity: usize,
    /// Index of the oldest value, once the window is full.
    oldest: usize,
}

impl<T> Window<T> {
    /// Returns an empty window of `capacity` values, at least one.
    pub const fn new(capacity: usize) -> Self {
        Self {
            values: Vec::new(),
            capacity: if capacity == 0 { 1 } else { capacity },
            oldest: 0,
        }
    }

    /// Adds a value. When the window is full, it replaces the oldest one.
    pub fn push(&mut self, value: T) {
        if self.values.len() < self.capacity {
            self.values.push(value);
        } else {
            self.values[self.oldest] = value;
            self.oldest = (self.oldest + 1) % self.capacity;
        }
    }

    /// Returns the number of values.
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns whether the window holds no value.
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Iterates over the values in no particular order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.values.iter()
    }
}

impl<'w, T> IntoIterator for &'w Window<T> {
    type Item = &'w T;
    type IntoIter = std::slice::Iter<'w, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_drops_the_oldest_value() {
        for (capacity, expected) in [(0, vec![9]), (1, vec![9]), (4, vec![6, 7, 8, 9])] {
            let mut window = Window::new(capacity);
            assert!(window.is_empty());
            (0..10).for_each(|value| window.push(value));
            let mut values: Vec<i32> = window.iter().copied().collect();
            values.sort_unstable();
            assert_eq!(values, expected, "{capacity}");
            assert_eq!(window.len(), expected.len());
        }
        let mut window = Window::new(4);
        (0..3).for_each(|value| window.push(value));
        assert_eq!(window.iter().copied().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
