// Titles of the shipped examples, English and French. One without a title here is shown by its file name.

export const TITLES = {
  "01-normal": ["All normal", "Tout normal"],
  "02-hyperkalaemia-aki": ["Hyperkalaemia with kidney injury", "Hyperkaliémie et atteinte rénale"],
  "03-ketoacidosis": ["Ketoacidosis", "Acidocétose"],
  "04-microcytic-anaemia": ["Microcytic anaemia", "Anémie microcytaire"],
  "05-sepsis": ["Sepsis", "Sepsis"],
  "06-mixed-units": ["Mixed units", "Unités mêlées"],
  "07-text-results": ["Answers in words, bounds, titres", "Réponses en mots, bornes, titres"],
  "08-child": ["A child of six", "Un enfant de six ans"],
  "09-newborn": ["A newborn of two days", "Un nouveau-né de deux jours"],
  "10-pregnancy": ["Pregnancy", "Grossesse"],
  "11-corrected": ["A corrected potassium", "Un potassium corrigé"],
  "12-french": ["French names without codes", "Noms français sans codes"],
  "13-trend": ["Creatinine up, haemoglobin down", "Créatinine en hausse, hémoglobine en baisse"],
  "14-haemolysed-potassium": ["Potassium on a haemolysed sample", "Potassium sur échantillon hémolysé"],
  "15-interval-as-text": ["Intervals as text", "Intervalles en texte"],
  "16-several-ranges": ["Several ranges, own critical limit", "Plusieurs intervalles, seuil critique du laboratoire"],
  "17-report-contained": ["A report with contained results", "Un compte rendu et ses résultats inclus"],
  "18-document-lipids": ["A document: lipids", "Un document : lipides"],
  "19-message-liver": ["A message: liver", "Un message : foie"],
  "20-transaction-pancytopenia": ["A transaction: pancytopenia", "Une transaction : pancytopénie"],
  "21-r5-hypokalaemia": ["FHIR R5: hypokalaemia", "FHIR R5 : hypokaliémie"],
  "22-components-and-members": ["Components and members", "Composants et membres"],
  "23-not-to-be-judged": ["Results that can't be judged", "Résultats qui ne peuvent être jugés"],
  "24-coded-answers": ["Coded answers", "Réponses codées"],
  "25-interpretation-only": ["The laboratory's flag alone", "Le seul code du laboratoire"],
  "26-no-patient": ["Without a Patient", "Sans Patient"],
  "27-no-intervals": ["Without intervals", "Sans intervalles"],
  "28-lone-observation": ["A lone Observation", "Une Observation seule"],
  "29-treated-inr": ["INR under treatment", "INR sous traitement"],
  "30-five-hundred": ["Five hundred results", "Cinq cents résultats"],
  "31-german": ["German names, units and numbers", "Noms, unités et nombres allemands"],
};

/** Those that the empty page offers. */
export const FIRST = ["02-hyperkalaemia-aki", "03-ketoacidosis", "14-haemolysed-potassium", "13-trend"];

/** What an example is called. */
export function titleOf(name, language) {
  return TITLES[name]?.[language === "fr" ? 1 : 0] ?? name;
}
