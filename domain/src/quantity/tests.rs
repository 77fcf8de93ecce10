use super::*;

#[test]
fn an_amount_is_stored_as_text_in_its_shortest_form() {
    for (written, stored) in [
        ("1", "1"),
        ("1.50", "1.5"),
        ("100", "100"),
        ("-0.000000000001", "-0.000000000001"),
        ("-0", "0"),
        ("0.00", "0"),
        ("1000000000000000", "1000000000000000"),
        ("999999999999999.999999999999", "999999999999999.999999999999"),
    ] {
        let quantity: Quantity = written.parse().unwrap();
        let json = serde_json::to_string(&quantity).unwrap();
        assert_eq!(json, format!("\"{stored}\""));
        assert_eq!(serde_json::from_str::<Quantity>(&json).unwrap(), quantity);
        let price: UnitPrice = written.parse().unwrap();
        assert_eq!(serde_json::to_string(&price).unwrap(), json);
    }
}

#[test]
fn an_amount_never_passes_through_a_binary_float() {
    for number in ["0.1", "1e3", "1", "12.5"] {
        let parsed = serde_json::from_str::<Quantity>(number);
        assert!(parsed.is_err(), "{number} was read as {parsed:?}");
    }
}

#[test]
fn amounts_too_fine_too_large_or_malformed_are_named() {
    let error = |text: &str| text.parse::<Quantity>().unwrap_err().to_string();
    for text in ["", "1,5", "one", "1e3", "NaN", " 1", "--1"] {
        assert_eq!(
            error(text),
            format!("expected a decimal number like `12.5`, without an exponent, got `{text}`")
        );
    }
    assert_eq!(
        error("0.0000000000001"),
        "expected at most 12 digits after the point, got `0.0000000000001`"
    );
    assert_eq!(
        error("-1000000000000000.5"),
        "expected an amount within ±1000000000000000, got `-1000000000000000.5`"
    );
    // More digits than a decimal holds are refused, not rounded.
    assert!("0.33333333333333333333333333333333".parse::<Quantity>().is_err());
    assert!(serde_json::from_str::<Quantity>("\"0.0000000000001\"").is_err());
    assert!(serde_json::from_str::<Quantity>("\"0.33333333333333333333333333333333\"").is_err());
}

#[test]
fn sums_stay_in_the_exact_range_or_are_none() {
    let most = Quantity::new(Decimal::from(ABSOLUTE_MAX)).unwrap();
    let least: Quantity = "0.000000000001".parse().unwrap();
    assert_eq!(most.checked_add(least), None);
    assert_eq!(Quantity::from(1).checked_add(least), "1.000000000001".parse().ok());
}

#[test]
fn a_currency_is_one_that_is_in_use() {
    // No code, no longer or never one, metals, a test, and the code of no currency.
    for text in
        ["eur", "EURO", "E1R", "", "€", "XXZ", "HRK", "BGN", "ZWL", "ANG", "XAU", "XTS", "XXX"]
    {
        assert!(text.parse::<Currency>().is_err(), "{text} was accepted");
    }
    for text in ["EUR", "USD", "JPY", "XOF", "ZWG", "CLF"] {
        assert_eq!(text.parse::<Currency>().unwrap().code(), text);
    }
    let gone: Currency = serde_json::from_str("\"HRK\"").unwrap();
    assert_eq!(gone.code(), "HRK", "what was stored stays readable");
    assert!(serde_json::from_str::<Currency>("\"hrk\"").is_err());
    let euro: Currency = serde_json::from_str("\"EUR\"").unwrap();
    assert_eq!((euro.code(), serde_json::to_string(&euro).unwrap().as_str()), ("EUR", "\"EUR\""));
}

#[test]
fn money_is_shown_with_the_digits_of_its_minor_unit() {
    for (minor, currency, shown) in [
        (-1_230, "EUR", "-12.30 EUR"),
        (-5, "USD", "-0.05 USD"),
        (1_230, "JPY", "1230 JPY"),
        (1_230, "ISK", "1230 ISK"),
        (1_230, "UGX", "1230 UGX"),
        (1_230, "KWD", "1.230 KWD"),
        (5, "TND", "0.005 TND"),
        (i64::MIN, "INR", "-92233720368547758.08 INR"),
        (12_345, "CLF", "1.2345 CLF"),
    ] {
        let money = Money { minor, currency: currency.parse().unwrap() };
        assert_eq!(money.to_string(), shown);
    }
}

#[test]
fn money_is_added_only_in_one_currency_and_never_wraps() {
    let [euro, yen] = ["EUR", "JPY"].map(|it| it.parse::<Currency>().unwrap());
    let money = |minor| Money { minor, currency: euro };
    assert_eq!(money(1).checked_add(money(2)), Ok(money(3)));
    assert_eq!(money(1).checked_sub(money(2)), Ok(money(-1)));
    assert_eq!(money(7).checked_neg(), Ok(money(-7)));
    assert_eq!(money(i64::MAX).checked_add(money(1)), Err(MoneyError::Overflow(euro)));
    assert_eq!(money(i64::MIN).checked_neg(), Err(MoneyError::Overflow(euro)));
    let mixed = money(1).checked_add(Money::zero(yen)).unwrap_err();
    assert_eq!(mixed.to_string(), "expected an amount in EUR, got one in JPY");
    let json = serde_json::to_string(&money(5)).unwrap();
    assert_eq!(json, r#"{"minor":5,"currency":"EUR"}"#);
    assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money(5));
}
