//! What sites commonly do: found in the words of a question, and what a specification says of it.

/// Something that a site does.
pub(super) struct Feature {
    /// The beginnings of words that ask for it, in both languages; after `=` a whole word.
    pub(super) words: &'static [&'static str],
    /// Whether a first version can do without it, so that it is left out unless somebody asks for it.
    pub(super) is_often_added: bool,
    pub(super) english: Part,
    pub(super) russian: Part,
}

/// What a specification says of a feature.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) screen: &'static str,
    pub(super) data: &'static str,
    pub(super) rule: &'static str,
    pub(super) check: &'static str,
}

/// Those that a text asks for, in the order of [`ALL`].
pub(super) fn wanted(text: &str) -> Vec<&'static Feature> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let asks = |word: &str, beginning: &str| match beginning.strip_prefix('=') {
        Some(whole) => word == whole,
        None => word.starts_with(beginning),
    };
    let is_wanted =
        |feature: &&Feature| words.iter().any(|word| feature.words.iter().any(|beginning| asks(word, beginning)));
    ALL.iter().filter(is_wanted).collect()
}

/// All features, the most central ones first.
pub(super) const ALL: [Feature; 10] = [
    Feature {
        words: &["=book", "booking", "reserv", "appointment", "slot", "запис", "брон", "приём", "прием"],
        is_often_added: false,
        english: Part {
            name: "booking a time",
            screen: "Free times: the next two weeks, with full ones marked; choosing one opens the form.",
            data: "Booking: time, name, one way to reach the person, state (asked, confirmed, cancelled).",
            rule: "A time is given to one person only, even if two ask at the same moment: the database refuses the second.",
            check: "Two people who choose the last time at once: one gets it, the other is shown the remaining ones.",
        },
        russian: Part {
            name: "запись на время",
            screen: "Свободное время: две недели вперёд, занятое отмечено; выбор открывает форму.",
            data: "Запись: время, имя, один способ связи, состояние (просьба, подтверждена, отменена).",
            rule: "Время достаётся одному, даже если двое нажали одновременно: второго отклоняет база.",
            check: "Двое выбирают последнее время сразу: один записан, другому показано оставшееся.",
        },
    },
    Feature {
        words: &["shop", "store", "sell", "catalog", "product", "магазин", "продав", "продаж", "товар", "каталог"],
        is_often_added: false,
        english: Part {
            name: "a list of things to order",
            screen: "The list: picture, name, price and whether it is available; the item: details and one button to order.",
            data: "Item: name, price as whole cents with its currency, picture, number left. Order: items with the price of that day, contact, state.",
            rule: "The price of an order is fixed when it is sent. Nothing that is sold out can be ordered.",
            check: "An item that sells out while somebody reads its page cannot be ordered, and the page says so.",
        },
        russian: Part {
            name: "каталог с заказом",
            screen: "Список: фото, название, цена и наличие; карточка: подробности и одна кнопка заказа.",
            data: "Товар: название, цена целым числом копеек с валютой, фото, остаток. Заказ: товары с ценой на тот день, контакт, состояние.",
            rule: "Цена заказа не меняется после отправки. Закончившееся заказать нельзя.",
            check: "Товар закончился, пока его читали: заказать его нельзя, и страница об этом говорит.",
        },
    },
    Feature {
        words: &[
            "event",
            "schedul",
            "=class",
            "classes",
            "course",
            "lesson",
            "workshop",
            "meetup",
            "событи",
            "расписан",
            "заняти",
            "урок",
            "курс",
            "мастер",
            "кружок",
            "кружк",
        ],
        is_often_added: false,
        english: Part {
            name: "a list of dates",
            screen: "Dates: the next first, each with place, price and places left; past ones are hidden.",
            data: "Date: start with its time zone, length, place, price, number of places.",
            rule: "Dates are shown in the time of the place where they happen.",
            check: "With no date ahead, the page says when to come back instead of showing an empty list.",
        },
        russian: Part {
            name: "расписание",
            screen: "Даты: ближайшая сверху, у каждой место, цена и остаток мест; прошедшие скрыты.",
            data: "Дата: начало с часовым поясом, длительность, место, цена, число мест.",
            rule: "Время показано по месту проведения.",
            check: "Если впереди дат нет, страница говорит, когда заглянуть снова, а не показывает пустой список.",
        },
    },
    Feature {
        words: &[
            "portfolio",
            "galler",
            "photo",
            "picture",
            "портфолио",
            "галере",
            "фото",
            "картин",
            "=работы",
            "=работ",
        ],
        is_often_added: false,
        english: Part {
            name: "a gallery",
            screen: "Gallery: pictures in a grid, each with a title; one opens large, with next and back.",
            data: "Picture: file in two sizes, title, description for those who do not see it, order.",
            rule: "Pictures keep their space while they load, and phones get the small file.",
            check: "With twenty pictures the first screen appears within two seconds on a phone.",
        },
        russian: Part {
            name: "галерея",
            screen: "Галерея: сетка снимков с подписями; снимок открывается крупно, есть «дальше» и «назад».",
            data: "Снимок: файл в двух размерах, название, описание для незрячих, порядок.",
            rule: "Место под снимок занято заранее, телефон получает маленький файл.",
            check: "С двадцатью снимками первый экран на телефоне появляется за две секунды.",
        },
    },
    Feature {
        words: &[
            "blog",
            "article",
            "news",
            "=post",
            "=posts",
            "diary",
            "recipe",
            "блог",
            "статья",
            "статьи",
            "статей",
            "статью",
            "новост",
            "дневник",
            "рецепт",
        ],
        is_often_added: false,
        english: Part {
            name: "articles",
            screen: "Articles: title, date and two lines each, newest first; the article at an address of its own.",
            data: "Article: address, title, text, date of publication, whether it is a draft.",
            rule: "An address never changes after publication. Drafts are visible to the author only.",
            check: "A draft's address shows a stranger the same page as an address that does not exist.",
        },
        russian: Part {
            name: "статьи",
            screen: "Статьи: название, дата и две строки, новые сверху; у каждой свой адрес.",
            data: "Статья: адрес, название, текст, дата публикации, признак черновика.",
            rule: "Адрес после публикации не меняется. Черновик видит только автор.",
            check: "По адресу черновика чужой видит то же, что по несуществующему адресу.",
        },
    },
    Feature {
        words: &[
            "contact",
            "=form",
            "=forms",
            "feedback",
            "message",
            "request",
            "survey",
            "контакт",
            "форм",
            "заявк",
            "обратн",
            "сообщен",
            "опрос",
            "анкет",
        ],
        is_often_added: false,
        english: Part {
            name: "a form",
            screen: "Form: only the fields that are needed now, each with a label; then a page that confirms what was sent.",
            data: "Message: name, one way to reach the person, text, time, whether it was answered.",
            rule: "The server checks every field again. Sending twice stores one message.",
            check: "A mistake in one field keeps what is in the others, and the message beside it says what to change.",
        },
        russian: Part {
            name: "форма",
            screen: "Форма: только нужные сейчас поля, у каждого подпись; затем страница с подтверждением.",
            data: "Сообщение: имя, один способ связи, текст, время, отвечено ли.",
            rule: "Сервер проверяет все поля заново. Двойная отправка сохраняет одно сообщение.",
            check: "Ошибка в одном поле не стирает другие, и рядом написано, что исправить.",
        },
    },
    Feature {
        words: &["search", "filter", "find", "compare", "поиск", "фильтр", "найти", "искат", "сравн"],
        is_often_added: true,
        english: Part {
            name: "search and filters",
            screen: "Search: one field above the list, and filters that show how many things each leaves.",
            data: "The fields that can be searched, written down: name, place, price.",
            rule: "What was chosen is part of the address, so that it can be shared and survives a reload.",
            check: "A search without a result offers to remove the last filter.",
        },
        russian: Part {
            name: "поиск и фильтры",
            screen: "Поиск: одно поле над списком и фильтры с числом оставшихся.",
            data: "Поля, по которым ищут, перечислены: название, место, цена.",
            rule: "Выбранное записано в адресе, чтобы им можно было поделиться.",
            check: "Поиск без результата предлагает убрать последний фильтр.",
        },
    },
    Feature {
        words: &["review", "comment", "rating", "likes", "forum", "chat", "отзыв", "коммент", "оценк", "форум", "чат"],
        is_often_added: true,
        english: Part {
            name: "comments",
            screen: "Comments: below what they are about, oldest first, with a field for a new one.",
            data: "Comment: author, text, time, whether it is hidden.",
            rule: "Text is shown as text, never as HTML. You can hide a comment without deleting it.",
            check: "A comment that contains `<script>` is shown as it was written.",
        },
        russian: Part {
            name: "отзывы",
            screen: "Отзывы: под тем, к чему относятся, старые сверху, внизу поле для нового.",
            data: "Отзыв: автор, текст, время, скрыт ли.",
            rule: "Текст показывается как текст, а не как HTML. Отзыв можно скрыть, не удаляя.",
            check: "Отзыв, в котором есть `<script>`, показан так, как написан.",
        },
    },
    Feature {
        words: &[
            "login",
            "account",
            "register",
            "registration",
            "=sign",
            "signin",
            "signup",
            "profile",
            "member",
            "вход",
            "регистр",
            "аккаунт",
            "профил",
            "кабинет",
        ],
        is_often_added: true,
        english: Part {
            name: "accounts",
            screen: "Sign-in, a new account, a forgotten password, and the own page with what belongs to the person.",
            data: "Account: e-mail address (unique), hash of the password, time. Session: hash of its token, end.",
            rule: "Everybody sees and changes only what is theirs. Signing out ends the session on the server.",
            check: "With a second account, another person's address in the browser shows nothing of theirs.",
        },
        russian: Part {
            name: "личный кабинет",
            screen: "Вход, новый аккаунт, забытый пароль и своя страница с тем, что принадлежит человеку.",
            data: "Аккаунт: почта (не повторяется), хеш пароля, время. Сеанс: хеш токена, конец.",
            rule: "Каждый видит и меняет только своё. Выход завершает сеанс на сервере.",
            check: "Второй аккаунт по чужому адресу не видит ничего чужого.",
        },
    },
    Feature {
        words: &["pay", "checkout", "subscri", "donat", "оплат", "платеж", "платёж", "платн", "подписк", "донат"],
        is_often_added: true,
        english: Part {
            name: "payment",
            screen: "Payment at the provider's page, then a page here that says paid, waiting or failed.",
            data: "Payment: order, amount, the provider's id, state, time of each change.",
            rule: "A repeated request pays once. Only the provider's signed message makes an order paid.",
            check: "Closing the browser in the middle leaves an order that can be paid later, once.",
        },
        russian: Part {
            name: "оплата",
            screen: "Оплата на странице провайдера, затем страница: оплачено, ждём или не вышло.",
            data: "Платёж: заказ, сумма, номер у провайдера, состояние, время каждой перемены.",
            rule: "Повторный запрос не списывает дважды. Оплаченным заказ делает только подписанное сообщение провайдера.",
            check: "Браузер закрыли посередине: заказ можно оплатить позже, один раз.",
        },
    },
];
