// Copies a post while the page is about to change: a note that was just typed, a tone that was just pressed.
// Python hears of the wish after all that went before it, and answers with the text that the page shows by
// then. Not the card itself asks, as that change may take it away.
const PATIENCE = 10_000; // milliseconds without an answer before the text that the page shows is copied

export default function ({ data, parentElement, setTriggerValue }) {
    const wish = parentElement.wish;
    if (wish && data.answer?.id === wish.id) wish.resolve(data.answer.text);

    parentElement.listening?.abort();
    parentElement.listening = new AbortController();
    document.addEventListener(
        "img2prompt-copy",
        ({ detail }) => {
            const id = Math.random();
            const text = new Promise((resolve) => {
                parentElement.wish = { id, resolve };
                setTimeout(resolve, PATIENCE, detail.shown);
            });
            setTriggerValue("wanted", { id, post: detail.post, number: detail.number });
            copy(text).then((copied) => setTriggerValue("outcome", { id, copied }));
        },
        { signal: parentElement.listening.signal },
    );
    return () => parentElement.listening.abort();
}
