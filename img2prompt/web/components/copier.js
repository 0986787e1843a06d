// Copies a post while the page is about to change: a note that was just typed, a tone that was just pressed.
// Python hears of the wish after all that went before it, and answers with the text that the page shows by
// then. Not the card itself asks, as that change may take it away.
const PATIENCE = 10_000; // milliseconds without an answer before the text that the page shows is copied

export default function ({ data, parentElement, setTriggerValue }) {
    const wish = document.img2promptWish; // the document's, as this part of the page may be made anew meanwhile
    if (wish) {
        wish.tell = setTriggerValue;
        if (data.answer?.id === wish.id) wish.resolve(data.answer.text);
    }
    parentElement.listening?.abort();
    parentElement.listening = new AbortController();
    document.addEventListener(
        "img2prompt-copy",
        (event) => {
            event.preventDefault(); // it is taken care of
            const { post, number, shown, say } = event.detail;
            const wish = (document.img2promptWish = { id: Math.random(), tell: setTriggerValue });
            const text = new Promise((resolve) => {
                wish.resolve = resolve;
                setTimeout(resolve, PATIENCE, shown);
            });
            setTriggerValue("wanted", { id: wish.id, post, number });
            copy(text).then((copied) => {
                say(copied);
                wish.tell("outcome", { id: wish.id, copied }); // for the card that came in place of this one
            });
        },
        { signal: parentElement.listening.signal },
    );
    return () => parentElement.listening.abort();
}
