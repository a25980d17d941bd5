//! What the test harness calls the test that is running: for tests that start themselves once more, in a
//! process of their own. Taken from the code, so that it is right wherever a test is moved to.

/// The path by which the harness knows the test in whose body this stands, without its crate.
#[macro_export]
macro_rules! test_name {
    () => {{
        fn here() {}
        $crate::test_name::of_item(std::any::type_name_of_val(&here))
    }};
}

/// The test in which an item called `here` stands, of that item's path.
pub fn of_item(path: &'static str) -> &'static str {
    let inside = path.split_once("::").map_or(path, |(_, inside)| inside);
    let mut test = inside.trim_end_matches("::here");
    while let Some(outer) = test.strip_suffix("::{{closure}}") {
        test = outer;
    }
    test
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_test_knows_its_own_name_in_closures_and_futures_too() {
        let name = "test_name::tests::a_test_knows_its_own_name_in_closures_and_futures_too";
        assert_eq!(crate::test_name!(), name);
        let inside = || crate::test_name!();
        assert_eq!(inside(), name);
        let future = async { crate::test_name!() };
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(found) = future.as_mut().poll(&mut context) else { panic!("it waits") };
        assert_eq!(found, name);
    }
}
